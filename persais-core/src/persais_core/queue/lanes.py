"""A lane's next turn: the messages that belong together become one.

People write one thought in several messages, forward a run of them, or send an album. Each message was stored with a
turn and a job of its own (see `inbox`), so nothing hangs on a process that gathers them. When a turn's job runs, it
waits until the lane has been quiet for a moment, takes over the messages of the turns right behind it, and closes: from
then on it is answered as it is, also by whoever repeats it after a kill. The turns it took over never existed.

A turn ends before whatever wants something else: a command, a button, a word that calls another agent than the one who
holds the lane, an answer to another message, another person. What comes while a turn is being answered waits for the
next one.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from persais_core.channels.base import Incoming
from persais_core.db.engine import Database
from persais_core.domain.chats import Lane
from persais_core.queue.inbox import Raw
from persais_core.security import access

MOST = 10  # messages in one turn
LONGEST = 10.0  # seconds from its first message until it is closed, however fast the next ones come

_LINE = (
    "with mine as (select id, chat_id, topic_id, user_id, state, format('chat:%%s:%%s', chat_id, topic_id) as lane "
    "from persais.turns where id = %(turn)s and state in ('waiting', 'working')), "
    "behind as (select j.id as job, j.task_name as task, (j.args->>'turn')::bigint as turn from procrastinate_jobs j "
    "join mine on j.lock = mine.lane where j.status = 'todo' and mine.state = 'waiting' and %(together)s "
    "and (j.args->>'turn')::bigint is distinct from mine.id order by j.id limit %(most)s), "
    "line as (select 0::bigint as job, 'turn' as task, id as turn from mine union all select * from behind) "
    "select line.*, t.agent as wanted, u.bot_id, u.payload, extract(epoch from now() - u.received_at)::float8 as age, "
    "mine.state, mine.chat_id, mine.topic_id, "
    "exists(select from persais.previews v where v.lane = mine.lane) as tried, "
    "p.id as person, p.name, p.language, p.is_owner, p.is_admin "
    "from mine cross join line left join persais.turns t on t.id = line.turn "
    "left join persais.updates u on u.turn_id = line.turn "
    "left join persais.people p on p.id = mine.user_id order by line.job, u.id"
)
# Whoever repeats the turn finds it closed and gets what was taken here, no more and no less.
_CLOSE = (
    "with mine as (update persais.turns set state = 'working' where id = %(turn)s and state = 'waiting' returning id), "
    "jobs as (delete from procrastinate_jobs j using mine where j.id = any(%(jobs)s) returning j.id), "
    "gone as (delete from persais.turns t using mine where t.id = any(%(turns)s) and t.state = 'waiting' "
    "returning t.id), "
    "taken as (update persais.updates u set turn_id = mine.id from mine, gone where u.turn_id = gone.id "
    "returning u.id) "
    "select (select count(*) from taken) as taken from mine"
)
_HOLDER = (
    "select agent from persais.turns where chat_id = %(chat)s and topic_id = %(topic)s and id < %(turn)s "
    "and agent is not null order by id desc limit 1"
)

Calls = Callable[[str, str | None], str | None]
"""The agent that a text calls by one of its keywords, if any, in a lane that the second one holds."""


@dataclass(frozen=True)
class Gathered:
    """A turn that is to be answered now.

    Args:
        parts: the updates it is made of, in the order they came; None for one that cannot be read.
        known: how the person who speaks stands here; None for somebody new.
        is_tried: the lane speaks with a candidate at the moment; see `mechanic.preview`.
        again: whom it is for, where it is answered once more; None: for whoever it calls, or who holds the lane.
    """

    lane: Lane
    parts: tuple[Incoming | None, ...]
    known: access.Known | None
    is_tried: bool
    again: str | None = None


@dataclass(frozen=True)
class _Place:
    """One job that stands in the lane's line, with what it is about.

    Args:
        turn: its number; None where the job is no turn.
        ages: seconds since each part came.
        again: see `Gathered`; such a turn stands alone.
    """

    job: int
    turn: int | None
    parts: tuple[Incoming | None, ...]
    ages: tuple[float, ...]
    again: str | None


class Lanes:
    """Gathers the turns of all lanes.

    Args:
        read: what an update says; None where nothing can be read in it.
        calls: told None where nobody is known to hold the lane.
        debounce: seconds of quiet after which a turn is closed; 0: every message is a turn of its own.
    """

    def __init__(
        self,
        database: Database,
        *,
        read: Callable[[Raw], Incoming | None],
        calls: Calls,
        debounce: float,
    ) -> None:
        self._database, self._read, self._calls, self._debounce = database, read, calls, debounce

    async def gather(self, turn: int) -> Gathered | None:
        """Wait until a turn is complete, and close it.

        Returns:
            None when it has been answered, or taken over by another.
        """
        values = {"turn": turn, "together": self._debounce > 0, "most": MOST}
        while rows := await self._database.run(_LINE, values):
            first, *behind = self._places(rows)
            holder = await self._holder(rows[0], turn) if self._calls_any(behind) else None
            thought = _Thought(first.parts, functools.partial(self._called, holder), holder)
            if rows[0]["state"] == "working" or thought.is_alone or first.again or not self._debounce:
                return _gathered(rows[0], first.parts)
            taken, is_complete = self._together(thought, first, behind)
            if not is_complete:
                ages = [age for place in (first, *taken) for age in place.ages]
                await asyncio.sleep(max(0.01, min(self._debounce - min(ages), LONGEST - max(ages))))
                continue
            closing = {"turn": turn, "jobs": [p.job for p in taken], "turns": [p.turn for p in taken]}
            parts = tuple(part for place in (first, *taken) for part in place.parts)
            for closed in await self._database.run(_CLOSE, closing):
                if closed["taken"] == len(parts) - len(first.parts):
                    return _gathered(rows[0], parts)
            # Otherwise somebody else closed it, or took one of those behind it: look again at what it has become.
        return None

    def _calls_any(self, places: Sequence[_Place]) -> bool:
        return any(part and self._called(None, part) for place in places for part in place.parts)

    def _called(self, holder: str | None, part: Incoming) -> str | None:
        """The agent that a part calls; what somebody else wrote calls nobody."""
        if part.message is None or part.message.is_forwarded:
            return None
        return self._calls(part.message.text, holder)

    async def _holder(self, row: dict[str, Any], turn: int) -> str | None:
        """Who answered in a lane last. Asked for only where somebody is called, which is seldom."""
        lane = {"chat": row["chat_id"], "topic": row["topic_id"], "turn": turn}
        found = await self._database.run(_HOLDER, lane)
        return str(found[0]["agent"]) if found else None

    def _places(self, rows: Sequence[dict[str, Any]]) -> list[_Place]:
        """The line of a lane, from the turn that is asked for on."""
        places: list[_Place] = []
        for row in rows:
            part = self._read(Raw(row["bot_id"], row["payload"])) if row["payload"] is not None else None
            age = row["age"] or 0.0
            if places and places[-1].job == row["job"]:
                last = places[-1]
                places[-1] = _Place(last.job, last.turn, (*last.parts, part), (*last.ages, age), last.again)
            else:
                turn = row["turn"] if row["task"] == "turn" else None
                places.append(_Place(row["job"], turn, (part,), (age,), row["wanted"]))
        return places

    def _together(self, thought: _Thought, first: _Place, behind: Sequence[_Place]) -> tuple[list[_Place], bool]:
        """Those of the line that belong to its first, and whether nothing more can."""
        taken: list[_Place] = []
        for place in behind:
            if place.turn is None or place.again or not thought.goes_on(place.parts):
                return self._whole_albums(first, taken, place), True
            taken.append(place)
        ages = [age for place in (first, *taken) for age in place.ages]
        return taken, thought.size >= MOST or min(ages) >= self._debounce or max(ages) >= LONGEST

    @staticmethod
    def _whole_albums(first: _Place, taken: list[_Place], after: _Place) -> list[_Place]:
        """Without the beginning of an album that goes on behind the end."""
        album = _album(after.parts)
        while album and taken and _album(taken[-1].parts) == album and _album(first.parts) != album:
            taken = taken[:-1]
        return taken


class _Thought:
    """What the messages so far have in common; another one belongs to them, or not."""

    def __init__(
        self, parts: Sequence[Incoming | None], called: Callable[[Incoming], str | None], holder: str | None
    ) -> None:
        self._called = called
        self._parts = list(parts)
        first = parts[0]
        self.is_alone = first is None or not _is_text(first)
        self._agent = (called(first) if first is not None else None) or holder

    @property
    def size(self) -> int:
        return len(self._parts)

    def goes_on(self, parts: Sequence[Incoming | None]) -> bool:
        """Whether these belong to it too; they are then part of it."""
        first = self._parts[0]
        if first is None or self.size + len(parts) > MOST:
            return False
        for part in parts:
            if part is None or not _is_text(part) or part.user is None or first.user is None:
                return False
            if part.user.id != first.user.id or part.bot_id != first.bot_id:
                return False
            answered = part.message.reply_to if part.message else None
            if answered is not None and answered != (first.message.reply_to if first.message else None):
                return False
            agent = self._called(part)
            if agent is not None and agent != self._agent:
                return False
        self._parts += parts
        return True


def _is_text(part: Incoming) -> bool:
    """Whether it is something said, and no tap and no command."""
    said = part.message
    return said is not None and (said.is_forwarded or not said.command[0])


def _album(parts: Sequence[Incoming | None]) -> str | None:
    """The album that a message is part of."""
    return parts[0].album if parts and parts[0] is not None else None


def _gathered(row: dict[str, Any], parts: tuple[Incoming | None, ...]) -> Gathered:
    known = None
    if row["person"] is not None:
        known = access.Known(row["name"], row["language"], is_admin=row["is_owner"] or row["is_admin"])
    lane = Lane(chat_id=row["chat_id"], topic_id=row["topic_id"])
    return Gathered(lane, parts, known, row["tried"], row["wanted"])
