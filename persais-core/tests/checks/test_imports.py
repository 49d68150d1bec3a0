"""How the reviewer reads: bytes before words before trees, and in a process whose death is a refusal.

What it lets through and what it does not is held against the corpora in `tests/hostile`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import persais_core
from persais_core.checks import base, imports, reviewer
from persais_core.checks.reviewer import strangers
from persais_core.security import sandbox

HEAD = '"""Nothing."""\n\n'


@pytest.fixture(scope="module")
def allowed() -> reviewer.Allowed:
    return reviewer.Allowed.read(str(imports.ALLOWED))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without files."""
    made = tmp_path_factory.mktemp("project")
    (made / "bot/agents").mkdir(parents=True)
    return made


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"\xef\xbb\xbf" + HEAD.encode(), "encoding"),
        (b"# -*- coding: utf-7 -*-\n" + HEAD.encode(), "encoding"),
        (b"#!/usr/bin/python\n# vim: set fileencoding=latin-1 :\n" + HEAD.encode(), "encoding"),
        (HEAD.encode() + "X = 'é'\n".encode("latin-1"), "encoding"),
        (HEAD.encode() + b"X = 1 # \r__import__('os')\n", "hidden-character"),
        (HEAD.encode() + b"X = 1\x0cY = 2\n", "hidden-character"),
        (HEAD.encode() + b"X = 'a\x00b'\n", "hidden-character"),
        (HEAD.encode() + b"X = '\x1b[2K'\n", "hidden-character"),
        (HEAD.encode() + "X = 'a\u202eb'\n".encode(), "hidden-character"),
        (HEAD.encode() + "X = 'a\u2066b'\n".encode(), "hidden-character"),
        (HEAD.encode() + "X = 'a\u200bb'\n".encode(), "hidden-character"),
        (HEAD.encode() + "X = 'a\u200db'\n".encode(), "hidden-character"),
        (HEAD.encode() + "X = 'a\u2028b'\n".encode(), "hidden-character"),
        (HEAD.encode() + "X = 'a\u0085b'\n".encode(), "hidden-character"),
        (HEAD.encode() + "X = 'a\ue000b'\n".encode(), "hidden-character"),
        (HEAD.encode() + "X = 'a\U000e0041b'\n".encode(), "hidden-character"),
        (HEAD.encode() + b"X = 1;" + b" " * 400 + b"Y = 2\n", "line-length"),
        (HEAD.encode() + b"X = " + b"(" * 250 + b"1" + b")" * 250 + b"\n", "size"),
        (HEAD.encode() + b"X = " + b"-" * 190 + b"1\n", "size"),
        (HEAD.encode() + b"X = [\n" + b"1,\n" * 40_000 + b"]\n", "size"),
    ],
)
def test_what_is_not_shown_as_it_runs_is_refused(
    content: bytes, rule: str, root: Path, allowed: reviewer.Allowed
) -> None:
    found = reviewer.review("bot/agents/x.py", content, reviewer.Project(str(root)), allowed)
    assert rule in {finding.rule for finding in found} or (rule == "size" and found)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the words are new in Python 3.12")
def test_types_in_brackets_are_types_and_no_texts(root: Path, allowed: reviewer.Allowed) -> None:
    project = reviewer.Project(str(root))
    honest = (
        HEAD + "type Kind[T] = list[T] | None\n\n\n"
        'class Box[T: int]:\n    """Box."""\n\n    held: T\n    kind: Kind[T]\n\n'
        '    def put(self, held: T) -> "Box[T]":\n        """Put."""\n        self.held = held\n'
        "        return self\n\n\n"
        'def same[K](value: K) -> K:\n    """Same."""\n    return value\n'
    )
    assert reviewer.review("bot/tools/x.py", honest.encode(), project, allowed) == []
    for line in (
        "type Kind = TEXT",
        'type Kind = "a" + "b"',
        "class X[T: TEXT]: pass",
        "def x[T: TEXT]() -> None: pass",
    ):
        attack = f'{HEAD}TEXT = "a" + "b"\n\n\n{line}\n'
        found = reviewer.review("bot/tools/x.py", attack.encode(), project, allowed)
        assert {finding.rule for finding in found} == {"annotation"}, line


def test_emoji_that_are_joined_are_shown_and_pass(root: Path, allowed: reviewer.Allowed) -> None:
    content = (HEAD + 'X = "👨‍👩‍👧 🏳️‍🌈 ❤️ 🇷🇺 ¹ © «да»"\n').encode()
    assert reviewer.review("bot/agents/x.py", content, reviewer.Project(str(root)), allowed) == []


def test_every_allowed_name_exists() -> None:
    import importlib

    lists = reviewer.Allowed.read(str(imports.ALLOWED))
    coming = {"itertools.batched", "typing.override", "persais_core.on_schedule", "persais_core.on_webhook"}
    missing = {
        f"{module}.{name}"
        for modules in (lists.modules, lists.test_modules)
        for module, names in modules.items()
        for name in names
        if module != "pgvector.sqlalchemy" and not hasattr(importlib.import_module(module), name)
    }
    assert missing <= coming


def test_no_allowed_name_is_a_module() -> None:
    import importlib
    import types

    lists = reviewer.Allowed.read(str(imports.ALLOWED))
    leaks = [
        f"{module}.{name}"
        for module, names in lists.modules.items()
        for name in names
        if isinstance(getattr(importlib.import_module(module), name, None), types.ModuleType)
    ]
    assert leaks == []


def test_attributes_of_strangers_are_known() -> None:
    """Whoever gives the context or a message another attribute adds its name to `reviewer/strangers.py`."""
    import importlib

    from persais_core.agents.context import TurnContext
    from persais_core.testing.contexts import ScriptedModel
    from persais_core.tools.context import StoreContext

    lists = reviewer.Allowed.read(str(imports.ALLOWED), public=persais_core.__all__)
    kinds: list[object] = [TurnContext, StoreContext, ScriptedModel]
    for module, names in lists.modules.items():
        # a logger is never a value
        kinds += [getattr(importlib.import_module(module), name, None) for name in names - {"Logger"}]
    classes = {base for kind in kinds if isinstance(kind, type) for base in kind.__mro__ if base is not object}
    immutable = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
    found = {name for one in classes if not one.__flags__ & immutable for name in vars(one) if not name.startswith("_")}
    assert found - strangers.NAMES == set()


async def test_check_names_file_line_rule_and_remedy(root: Path, tmp_path: Path) -> None:
    (root / "bot/agents/evil.py").write_text('"""Evil."""\n\nimport os\n\nX = os.getcwd()\n')
    changed = (base.ChangedFile("bot/agents/evil.py", 0o100644, "added", 1),)
    subject = base.Subject(root, "0" * 40, ("bot/agents/evil.py",), changed, sandbox.Sandbox(), tmp_path)
    verdict = await imports.ImportsCheck()(subject)
    (root / "bot/agents/evil.py").unlink()
    assert not verdict.passed
    assert verdict.findings[0].startswith("bot/agents/evil.py:3: import: os may not be imported; ")


async def test_what_may_be_used_instead_is_named_in_full(root: Path, tmp_path: Path) -> None:
    lines = ("import numpy", "from math import nope", "from typing import Nope")
    (root / "bot/agents/evil.py").write_text("\n".join(('"""Evil."""', "", *lines, "")))
    changed = (base.ChangedFile("bot/agents/evil.py", 0o100644, "added", 1),)
    subject = base.Subject(root, "0" * 40, ("bot/agents/evil.py",), changed, sandbox.Sandbox(), tmp_path)
    modules, some, many = (await imports.ImportsCheck()(subject)).findings
    (root / "bot/agents/evil.py").unlink()
    assert modules.endswith("zlib, zoneinfo") and " math, " in modules and "__future__" not in modules
    assert some.endswith(" tan, tanh, tau, trunc")
    assert " Annotated, " in many and many.endswith(" more")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("from sqlmodel import select", "read records with context.records(Schema).list(...)"),
        ("class A:\n    @TABLE.add\n    def f(self) -> None:\n        pass", "list the method in a table"),
        ("class A:\n    def __init_subclass__(cls) -> None:\n        TABLE[0] = cls", "keep the classes in a tuple"),
        ("from pydantic import EmailStr", "pydantic.EmailStr may not be used"),
    ],
)
def test_one_finding_says_what_to_do_instead(line: str, told: str, root: Path, allowed: reviewer.Allowed) -> None:
    content = f"{HEAD}{line}\n".encode()
    [found] = reviewer.review("bot/tools/x.py", content, reviewer.Project(str(root)), allowed)
    assert told in found.text


async def test_check_takes_a_crash_of_the_reader_for_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "bot/agents").mkdir(parents=True)
    (tmp_path / "bot/agents/x.py").symlink_to("/dev/zero")
    changed = (base.ChangedFile("bot/agents/x.py", 0o100644, "added", 1),)
    subject = base.Subject(tmp_path, "0" * 40, (), changed, sandbox.Sandbox(), tmp_path)
    assert not (await imports.ImportsCheck()(subject)).passed
