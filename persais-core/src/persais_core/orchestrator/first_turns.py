"""The first turns of each agent in a release: one that breaks in them is taken back.

They are counted in the database, since several processes may serve one release; what is beyond the first few costs
nothing, as it is not counted.
"""

from __future__ import annotations

from persais_core.db.engine import Database
from persais_core.domain.first_turns import COUNTED
from persais_core.orchestrator.state import Answer

_COUNT = (
    "insert into persais.first_turns (commit, agent, turns, broken) values (%(commit)s, %(agent)s, 1, %(broke)s) "
    "on conflict (commit, agent) do update set turns = first_turns.turns + 1, "
    "broken = first_turns.broken + excluded.broken where first_turns.turns < %(counted)s returning turns"
)
_READ = "select agent, turns, broken from persais.first_turns where commit = %(commit)s"
_FORGET = "delete from persais.first_turns where commit != %(commit)s"


class FirstTurns:
    """The counts of one release.

    Args:
        commit: what is served.
    """

    def __init__(self, database: Database, commit: str) -> None:
        self._database, self._commit = database, commit
        self._settled: set[str] = set()

    async def count(self, answer: Answer) -> None:
        """Note one more turn, if it is among the first of its agent."""
        if answer.agent in self._settled:
            return
        values = {"commit": self._commit, "agent": answer.agent, "broke": int(answer.broke), "counted": COUNTED}
        rows = await self._database.run(_COUNT, values)
        if not rows or rows[0]["turns"] >= COUNTED:
            self._settled.add(answer.agent)

    async def read(self) -> dict[str, tuple[int, int]]:
        """By agent, how many of its first turns there were, and how many of them broke."""
        rows = await self._database.run(_READ, {"commit": self._commit})
        return {row["agent"]: (row["turns"], row["broken"]) for row in rows}

    async def forget_others(self) -> None:
        """Throw away the counts of releases that serve no more."""
        await self._database.run(_FORGET, {"commit": self._commit})
