"""`/visibility`: who may see an agent, decided by its owner."""

from __future__ import annotations

from persais_core import errors, texts
from persais_core.agents.visibility import VISIBILITIES, Roster, Visibility
from persais_core.domain.chats import Reply, User
from persais_core.orchestrator import unknown

_MEANT: dict[str, Visibility] = {
    **{visibility: visibility for visibility in VISIBILITIES},
    **dict.fromkeys(("приватный", "приватная", "приватно", "личный", "личная", "скрытый", "скрытая"), "private"),
    **dict.fromkeys(("общий", "общая", "публичный", "публичная", "открытый", "открытая", "для всех"), "shared"),
}
"""What may be said for each; people who write Russian translate it."""


async def answer(roster: Roster, *, words: str, user: User) -> Reply:
    """Make an agent private or shared.

    Args:
        words: what follows the command: the agent's name, and private or shared.
    """
    agents = await roster.known_to(user)
    name, rest = unknown.split(words, agents)
    visibility = _MEANT.get(rest.casefold())
    if visibility is None:
        return Reply(text=texts.say(user.language, "share-how"), plain=True)
    if agents.find(name) is None and (near := unknown.nearest_agent(name, agents)) is not None:
        said = texts.say(user.language, "share-near", agent=texts.untapped(name), near=near, visibility=visibility)
        return Reply(text=said, plain=True)
    try:
        await roster.set_visibility(name, visibility, actor=user)
    except errors.AgentError as error:
        cause = texts.explain(user.language, error)
        return Reply(text=texts.say(user.language, "agent-cannot", cause=cause), plain=True)
    return Reply(text=texts.say(user.language, f"share-{visibility}", agent=name), plain=True)
