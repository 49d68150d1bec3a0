"""The offline model: an OpenAI-compatible server that knows only the simplest things, so that a newcomer needs no key.

It is a stand-in for a language model, not a mode of the bot: the bot is given its address like that of any other
server and runs the same code. It understands requests for simple text agents, writes their code through the real
coder, and says of everything else, in the language it was asked in, that it is the offline model.
"""

from __future__ import annotations

from persais_core.emulators.model.server import OfflineModel

__all__ = ["OfflineModel"]
