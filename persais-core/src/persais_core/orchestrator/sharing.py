"""`/visibility`: who may see an agent, decided by its owner."""

from __future__ import annotations

from persais_core import errors, texts
from persais_core.agents.visibility import VISIBILITIES, Roster
from persais_core.domain.chats import Reply, User


async def answer(roster: Roster, *, words: str, user: User) -> Reply:
    """Make an agent private or shared.

    Args:
        words: what follows the command: the agent's name, and private or shared.
    """
    given = words.lower().split()
    if len(given) != 2 or given[1] not in VISIBILITIES:
        return Reply(text=texts.say(user.language, "share-how"), plain=True)
    name, visibility = given[0].lstrip("/"), given[1]
    try:
        await roster.set_visibility(name, visibility, actor=user)
    except errors.AgentError as error:
        cause = texts.explain(user.language, error)
        return Reply(text=texts.say(user.language, "agent-cannot", cause=cause), plain=True)
    return Reply(text=texts.say(user.language, f"share-{visibility}", agent=name), plain=True)
