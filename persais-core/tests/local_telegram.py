"""What the local Telegram of the fixtures and whoever speaks to it must both know."""

TOKEN, CLIENT_KEY = "77:LOCAL-BOT", "client-key"
