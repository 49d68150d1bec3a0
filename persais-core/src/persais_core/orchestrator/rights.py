"""Which built-in commands somebody may use: what /help tells them, what a near miss suggests, and what is refused.

All by the table in `domain.names`. Who is an admin is known with each turn; whether somebody owns an agent, or a
preview runs in the chat, is asked of the database when it matters.
"""

from __future__ import annotations

from persais_core.db.engine import Database
from persais_core.domain import names
from persais_core.domain.chats import Turn, User

_READ = (
    "select exists(select from persais.agents where owner = %(user)s) as owns, "
    "exists(select from persais.previews where lane = %(lane)s) as tries"
)
_BY_NAME = {command.name: command for command in names.COMMANDS if command.name in names.BUILT_IN_COMMANDS}


def find(word: str) -> names.Command | None:
    """The command that is answered without an agent, by its word with the slash; None where it is none of them."""
    return _BY_NAME.get(word.removeprefix("/")) if word.startswith("/") else None


def is_refused(command: names.Command, user: User) -> bool:
    """Whether a command is for admins alone, and this is none.

    The others decide by what they are given: an agent's owner is told by the agent, who tries a change by the chat.
    """
    return command.who == "admins" and not user.is_admin


async def usable(database: Database, turn: Turn) -> tuple[names.Command, ...]:
    """The commands that the person of a turn may use in its chat; that by which a bot is claimed is not among them."""
    holds: set[names.Who] = {"everybody"}
    if turn.user.is_admin:
        holds |= {"admins", "owners", "triers"}
    else:
        [row] = await database.run(_READ, {"user": turn.user.id, "lane": turn.lane.key})
        holds |= {"owners"} if row["owns"] else set()
        holds |= {"triers"} if row["tries"] else set()
    return tuple(command for command in names.COMMANDS if command.who in holds)
