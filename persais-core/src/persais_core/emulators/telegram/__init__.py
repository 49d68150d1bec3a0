"""A stand-in for Telegram on loopback: Bot API, chat page, and a client for terminals and tests."""

from persais_core.emulators.telegram.client import ChatClient
from persais_core.emulators.telegram.server import TelegramEmulator

__all__ = ["ChatClient", "TelegramEmulator"]
