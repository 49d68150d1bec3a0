"""What an agent says of itself is read once, as plain values that can be used."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from persais_core import errors
from persais_core.agents import loader
from persais_core.agents.base import Agent
from persais_core.agents.registry import Registry

HEAD = """
from persais_core import Agent

class Word(str):
    def __eq__(self, other): return True
    def __hash__(self): return 1

class X(Agent):
    '''Does x.'''
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without agents; nothing of it stays imported."""
    (tmp_path / "bot/agents").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in sys.modules if name.split(".")[0] == "bot"]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    return tmp_path


def loaded(root: Path, *lines: str) -> Agent:
    (root / "bot/agents/x.py").write_text(HEAD + "".join(f"    {line}\n" for line in lines))
    try:
        [agent] = loader.load(root)
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "bot"]:
            del sys.modules[name]
    return agent


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["name = Word('x')"], "its name is no plain str"),
        (["name = property(lambda self: 'x')"], "its name is no plain str"),
        (["name = ''"], "has no name"),
        (["name = 'X'"], "'X' is no usable name"),
        (["name = 'deploy'"], "/deploy is there in every bot"),
        (["name = 'mechanic'"], "/mechanic is there in every bot"),
        (["name = 'x'", "def __init__(self): self.name = 'master'"], "agent x sets its name"),
        (["name = 'x'", "@classmethod", "def called(cls, language): raise ValueError"], "called is asked by the bot"),
        (["name = 'x'", "purpose = None"], "purpose is asked by the bot"),
        (["name = 'x'", "def __setattr__(self, name, value): pass"], "__setattr__ is asked by the bot"),
        (["name = 'x'", "title = {'en': Word('X')}"], "its title is no dict of plain str"),
        (["name = 'x'", "keywords = (Word('x'),)"], "its keywords are no tuple of plain str"),
        (["name = 'x'", "keywords = 'x'"], "its keywords are no tuple of plain str"),
        (["name = 'x'", "emoji = '[✅](https://example.com)'"], "its emoji is none"),
        (["name = 'x'", "emoji = Word('🎭')"], "its emoji is none"),
    ],
)
def test_an_agent_that_says_what_cannot_be_used_is_refused_with_the_reason(
    root: Path, lines: list[str], told: str
) -> None:
    with pytest.raises(errors.AgentError, match=r"bot/agents/x.py: X") as refused:
        loaded(root, *lines)
    assert told in str(refused.value)


@pytest.mark.parametrize("emoji", ["🎭", "👩‍💻", "❤️", "🇺🇦", "1️⃣", "⚙️", ""])
def test_what_it_says_is_kept_as_plain_values(root: Path, emoji: str) -> None:
    agent = loaded(root, "name = 'x'", "title = {'en': 'X\\n\\n✅ Tests'}", f"emoji = {emoji!r}", "keywords = ['a']")
    assert (agent.name, agent.emoji, agent.keywords, agent.called("en")) == ("x", emoji, ("a",), "X ✅ Tests")


@pytest.mark.parametrize(("name", "value"), [("title", {"en": "Bank"}), ("keywords", ("pay",)), ("name", "bank")])
def test_what_it_says_of_itself_stays_so_while_it_runs(root: Path, name: str, value: object) -> None:
    agent = loaded(root, "name = 'x'", "title = {'en': 'X'}")
    with pytest.raises(errors.AgentError, match="write it out in the class"):
        setattr(agent, name, value)
    with pytest.raises(TypeError):
        agent.title["en"] = "Bank"  # type: ignore[index]
    agent.prompt = "Its own."  # type: ignore[misc]  # what nobody else sees may change
    assert Registry([agent]).called("Bank") is None
