"""The Mechanic as the chat knows it: an agent whose answer is a change."""

from __future__ import annotations

import re
from typing import ClassVar

from persais_core import errors, texts
from persais_core.agents.base import Agent
from persais_core.agents.context import TurnContext
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Language, Message, Reply
from persais_core.mechanic.ledger import Ledger
from persais_core.tools.base import Context

MAX_REQUEST = 4000  # characters
MAKES_AGENT = re.compile(
    r"\b(create|make|build|add|new|another)\b.{0,20}\b(agent|tool|table)\b|(созда|сдела|нов|добав)\w*.{0,20}(агент|инструмент|таблиц)",
    re.IGNORECASE,
)
CORRECTS = re.compile(
    r"^(no|not|wait|actually)\b|\b(instead|rather|also|too|as well|should|must|wrong|fix it|change it)\b"
    r"|^(нет|не так|стоп)\b|\b(вместо|лучше|ещё|еще|тоже|также|должен|должна|должно|пусть|исправь|поправь)\b",
    re.IGNORECASE,
)
NEW_REQUEST = re.compile(
    r"\b(create|new|another|add|build|delete|remove|make (me )?an? )\b|\bсозда|\bнов(ый|ого|ую|ая)\b|\bдобав|\bудали"
    r"|\bсдела(й|ть) (мне )?(агент|инструмент|таблиц)",
    re.IGNORECASE,
)


class Mechanic(Agent):
    """Makes new agents, tools and tables, and changes those there are."""

    name = "mechanic"
    title: ClassVar[dict[Language, str]] = {"en": "Mechanic", "ru": "Механик"}
    emoji = "🔧"
    keywords = (
        "make me an agent", "create an agent", "make an agent", "new agent", "mechanic",
        "создай агента", "сделай агента", "сделай мне агента", "создай мне агента", "новый агент", "механик",
    )  # fmt: skip

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def reply(self, message: Message, context: Context) -> str | Reply:
        """Take a request up as a change; the change then speaks for itself, so nothing more is said here."""
        if not isinstance(context, TurnContext):
            raise errors.AgentError("the Mechanic works in a running bot only")
        language, turn = context.language, context.turn
        request = message.text.strip()
        if not context.user.is_admin:
            return Reply(text=texts.say(language, "mechanic-not-admin"))
        if not turn.is_own_words:
            await self._ledger.refuse(turn)
            return Reply(text=texts.say(language, "mechanic-own-words"))
        if not request:
            return Reply(text=texts.say(language, "mechanic-empty"))
        if len(request) > MAX_REQUEST:
            return Reply(text=texts.say(language, "mechanic-too-long", size=len(request), limit=MAX_REQUEST))
        before = await self._ledger.newest_open(turn.lane)
        corrects = before if before is not None and is_correction(before, request) else None
        await self._ledger.open(
            lane=turn.lane,
            user=context.user,
            request=request,
            turn_id=turn.id,
            corrects=corrects,
            origin=turn.origin,
        )
        return ""


def is_correction(before: Change, words: str) -> bool:
    """Whether words said while a change is open are about that change.

    An answer to its question always is. While work goes on, words are, unless they ask for something new. A change
    that waits for a tap can be had: only words that clearly correct it are about it. A wrong guess
    loses nothing, since the old change is called off only when there is a plan that replaces it.
    """
    if before.plan is not None and before.plan.question is not None:
        return True
    if before.state in (ChangeState.AWAITING_APPROVAL, ChangeState.FAILED) or before.awaits_setting:
        return bool(CORRECTS.search(words)) and not MAKES_AGENT.search(words)
    return not NEW_REQUEST.search(words) or bool(CORRECTS.search(words) and not MAKES_AGENT.search(words))
