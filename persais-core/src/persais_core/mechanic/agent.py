"""The Mechanic as the chat knows it: an agent whose answer is a change."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

from persais_core import errors, texts
from persais_core.agents.base import Agent
from persais_core.agents.context import TurnContext
from persais_core.agents.registry import Registry, stands_in
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Lane, Language, Message, Reply
from persais_core.mechanic.ledger import Ledger
from persais_core.tools.base import Context

MAX_REQUEST = 16_000  # characters; four long messages said in one go
MAKES_AGENT = re.compile(
    r"\b(create|make|build|add|new|another)\b.{0,20}\b(agent|tool|table)\b|(созда|сдела|нов|добав)\w*.{0,20}(агент|инструмент|таблиц)",
    re.IGNORECASE,
)
BEGINS_CORRECTION = re.compile(
    r"\W*(no|not|wait|actually|instead|rather|нет|не так|стоп|лучше|вместо|поправь|исправь)\b", re.IGNORECASE
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

    def __init__(self, ledger: Ledger, others: Iterable[Agent] = ()) -> None:
        self._ledger, self._others = ledger, Registry(others)

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
        await self._ledger.open(
            lane=turn.lane,
            user=context.user,
            request=request,
            turn_id=turn.id,
            corrects=await self._corrected(turn.lane, message),
            origin=turn.origin,
            before=context.before,
        )
        return ""

    async def _corrected(self, lane: Lane, message: Message) -> Change | None:
        """The open change that a message corrects: the one whose card it replies to, or the newest it is about."""
        if message.reply_to is not None:
            shown = await self._ledger.shown_in(lane, message.reply_to)
            if shown is not None:  # one that is over can be corrected no more, and no other one is meant
                return shown if shown.state.can_be_aborted else None
        before = await self._ledger.newest_open(lane)
        return before if before is not None and is_correction(before, message.text.strip(), self._others) else None


def is_correction(before: Change, words: str, agents: Registry) -> bool:
    """Whether words said while a change is open are about that change.

    An answer to its question always is; words that name another agent than its own are not. While work goes on, words
    are, unless they ask for something new. A change that failed can be had in another way: only words that correct
    something are about it. One that waits for a tap can be had as it is: only words that begin so are about it, as
    wishes about all kinds of things say "should" and "also". The old change is called off only when there is a plan
    that replaces it.

    Args:
        agents: those that words may name.
    """
    if before.plan is not None and before.plan.question is not None:
        return True
    if _names_another(before, words, agents):
        return False
    makes_agent = MAKES_AGENT.search(words) is not None
    if before.state is ChangeState.AWAITING_APPROVAL or before.awaits_setting:
        return BEGINS_CORRECTION.match(words) is not None and not makes_agent
    corrects = CORRECTS.search(words) is not None and not makes_agent
    return corrects or (before.state is not ChangeState.FAILED and not NEW_REQUEST.search(words))


def _names_another(before: Change, words: str, agents: Registry) -> bool:
    """Whether words name an agent, and none that the change is about."""
    named = agents.named_in(words)
    if before.plan is None:  # what it is about is not known yet, except by the same kind of words
        return bool(named) and not named & agents.named_in("\n".join((before.request, *before.corrections)))
    set_for = (before.plan.configure.agent,) if before.plan.configure else ()
    about = {*before.plan.agents, *before.plan.removed_agents, *set_for}
    made = [word for part in before.plan.create for word in (part.name, part.title)]
    return bool(named) and not named & about and not stands_in(words, *made)
