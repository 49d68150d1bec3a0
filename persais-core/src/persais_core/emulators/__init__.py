"""Stand-ins for Telegram and the model, over HTTP on loopback, for newcomers and tests."""
