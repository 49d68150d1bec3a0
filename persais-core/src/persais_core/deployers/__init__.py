"""How a merged commit comes to serve: one file for each platform."""
