"""Commands that are answered without a model and leave the lane's agent as it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from persais_core import texts
from persais_core.agents.base import Agent
from persais_core.agents.registry import MASTER, Registry
from persais_core.domain import names
from persais_core.domain.changes import Change
from persais_core.domain.chats import Button, Language, Reply, User
from persais_core.queue.inbox import CHOOSE_AGENT
from persais_core.security.sandbox import Isolation

SHORT = 50  # characters of a request that stand for a change without a branch


@dataclass(frozen=True)
class Facts:
    """What /status tells."""

    version: str
    commit: str
    database: str
    model: str
    sandbox: str
    warnings: tuple[str, ...] = ()
    spent: float = 0.0
    """US dollars that all users together spent on models in the last 24 hours."""
    resting: tuple[str, ...] = ()
    """Outside services that are left alone for a moment, after they kept failing."""


def start(user: User, registry: Registry) -> Reply:
    """The greeting."""
    name = user.name.split(maxsplit=1)[0] if user.name else ""
    hello = texts.say(user.language, "hello-name" if name else "hello", name=texts.escaped(name))
    key = "start" if user.is_admin else "start-user"
    return Reply(text=texts.say(user.language, key, hello=hello), buttons=_agents(user, registry))


def help_text(language: Language, registry: Registry, told: Iterable[names.Command]) -> Reply:
    """What one can do here.

    Args:
        registry: the agents that are told.
        told: the commands; see `rights.usable`.
    """
    by_theme: dict[names.Theme, list[str]] = {}
    for command in told:
        line = f"/{command.name} — {texts.say(language, f'help-{command.name}')}"
        by_theme.setdefault(command.theme, []).append(line)
    parts = ["\n".join([texts.say(language, f"help-{theme}"), *lines]) for theme, lines in by_theme.items()]
    if own := _own(registry):
        lines = [f"/{a.name} — {a.emoji} {texts.line(a.called(language))}" for a in own]
        parts.insert(1, "\n".join([texts.say(language, "help-own"), *lines]))
    return Reply(text="\n\n".join(parts))


def agents(user: User, registry: Registry) -> Reply:
    """The agents, each with a button."""
    language = user.language
    own = _own(registry)
    lines = [texts.say(language, "agents", count=len(own))]
    lines += [f"{a.emoji} {texts.line(a.called(language))} — /{a.name} — {texts.line(a.purpose())}" for a in own]
    return Reply(text="\n".join(lines), buttons=_agents(user, registry))


def status(user: User, facts: Facts, agent: Agent | None, changes: list[Change]) -> Reply:
    """How the bot is."""
    language = user.language
    title = agent.called(language) if agent else MASTER
    lines = [
        texts.say(
            language,
            "status",
            version=facts.version,
            commit=facts.commit[:12],
            database=facts.database,
            model=facts.model,
            sandbox=facts.sandbox,
            agent=texts.escaped(title),
        )
    ]
    lines[:0] = [f"🔴 {texts.escaped(warning)}\n" for warning in facts.warnings]
    if facts.resting:
        lines.append(texts.say(language, "status-resting", services=texts.escaped(", ".join(facts.resting))))
    if user.is_admin:
        lines.append(texts.say(language, "status-spent", spent=f"{facts.spent:.2f}"))
    lines.append(texts.say(language, "status-changes", count=len(changes)))
    for change in changes:
        state = texts.say(language, f"state-{change.standing}")
        asked = " ".join(change.said_last.split())[:SHORT]
        lines.append(f"- #{change.id} {change.branch or texts.escaped(asked)} — {state}")
    return Reply(text="\n".join(lines))


def isolation(found: Isolation, language: Language) -> tuple[str, tuple[str, ...]]:
    """What /status says of the sandbox: its state with what holds or why not, and a warning where it does not hold."""
    name = f"sandbox-{found.state.replace('_', '-')}"
    said = texts.say(language, name, ways=", ".join(found.ways), reason=found.reason)
    return said, () if found.state == "enforced" else (texts.say(language, "warning-unsandboxed"),)


def menu(registry: Registry, language: Language, *, is_admin: bool = False) -> list[tuple[str, str]]:
    """The commands of the client's menu: built-in ones, then one for each agent.

    Args:
        registry: the agents that are told.
        is_admin: whether it is an admin's, which holds all that /help tells an admin. That of everybody else has the
            first few only; /mechanic is among them, as an admin whose chat is new has no menu of their own yet.
    """
    told = sorted((c for c in names.COMMANDS if c.place_in_menu), key=lambda command: command.place_in_menu or 0)
    if is_admin:
        told += [c for c in names.COMMANDS if not c.place_in_menu and c.who != "claimants"]
    built_in = [(c.name, texts.say(language, f"{'menu' if c.place_in_menu else 'help'}-{c.name}")) for c in told]
    return built_in + [(a.name, f"{a.emoji} {a.called(language)}") for a in _own(registry)]


def _own(registry: Registry) -> list[Agent]:
    return [agent for agent in registry if agent.name not in (MASTER, "mechanic")]


def _agents(user: User, registry: Registry) -> tuple[tuple[Button, ...], ...]:
    shown = [a for a in registry if user.is_admin or a.name != "mechanic"]
    buttons = [
        Button(
            text=f"{agent.emoji} {texts.subject(agent.called(user.language))}"[:60], data=f"{CHOOSE_AGENT}{agent.name}"
        )
        for agent in shown
    ]
    return tuple(tuple(buttons[i : i + 2]) for i in range(0, len(buttons), 2))
