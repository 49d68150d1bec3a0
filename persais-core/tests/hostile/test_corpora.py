"""Nothing of the hostile corpus gets through the static gates, and nothing of the honest one is refused."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import hostile_samples as samples
import pytest

from persais_core.checks import base, imports, listed, reviewer
from persais_core.security import sandbox

HERE = Path(__file__).parent
Counts = dict[str, Counter[str]]
# Rules by the gate that asks them.
GATES = {"closed": "paths", "secret": "secrets", "examples": "examples", "syntax": "parser", "encoding": "bytes"}
GATES |= {"hidden-character": "bytes", "line-length": "bytes", "name": "bytes", "size": "size"}


@pytest.fixture(scope="module")
def lists() -> reviewer.Allowed:
    return samples.lists()


def test_every_attack_is_stopped_by_the_rule_that_it_breaks(lists: reviewer.Allowed, counts: Counts) -> None:
    found = samples.attacks()
    stopped = counts.setdefault("attacks stopped", Counter(of=len(found)))
    leaks = []
    for sample in found:
        rows = samples.judged(sample, lists)
        rules = {row.rule for row in rows}
        assert all(0 < row.line <= sample.content.count(b"\n") + 1 for row in rows), sample.name
        assert all(row.message and row.instead for row in rows), sample.name
        if sample.rule in rules:
            stopped[GATES.get(sample.rule, "imports and calls")] += 1
        else:
            leaks.append((sample.name, sample.rule, rules))
    assert leaks == []
    assert len(found) > 400


def test_every_honest_file_passes(lists: reviewer.Allowed, counts: Counts) -> None:
    found = samples.honest()
    passed = counts.setdefault("honest passed", Counter(of=len(found)))
    refused = []
    for sample in found:
        if rows := samples.judged(sample, lists):
            refused.append((sample.name, rows))
        else:
            passed[sample.path.split("/")[0 if sample.path.startswith("tests/examples") else 1]] += 1
    assert refused == []
    assert len(found) > 70


@pytest.mark.parametrize("sample", sorted((HERE / "newer").glob("*.txt")), ids=lambda path: path.name)
def test_attack_in_words_of_a_newer_python_is_stopped(sample: Path, lists: reviewer.Allowed) -> None:
    rows = reviewer.review("bot/agents/x.py", sample.read_bytes(), reviewer.Alone(), lists)
    said = sample.read_text().partition("\n")[0].removeprefix("# refused: ")
    assert (said if sys.version_info >= (3, 12) else "syntax") in {row.rule for row in rows}


@pytest.mark.parametrize("sample", sorted((HERE / "siblings").glob("*.txt")), ids=lambda path: path.name)
def test_attack_through_another_file_is_stopped_where_that_is_there(
    sample: Path, tmp_path: Path, lists: reviewer.Allowed
) -> None:
    for one in samples.honest():
        (tmp_path / one.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / one.path).write_bytes(one.content)
    path = "tests/agents/test_x.py" if sample.name.startswith("test_") else "bot/agents/x.py"
    rules = {one.rule for one in reviewer.review(path, sample.read_bytes(), reviewer.Project(str(tmp_path)), lists)}
    assert sample.read_text().partition("\n")[0].removeprefix("# refused: ") in rules


def test_every_attack_that_needs_several_files_is_stopped(
    tmp_path: Path, lists: reviewer.Allowed, counts: Counts
) -> None:
    """Each folder is a project, and its file x.py says which rule must refuse one of its files."""
    found = sorted((HERE / "pairs").iterdir())
    stopped = counts.setdefault("attacks over several files stopped", Counter(of=len(found)))
    leaks = []
    for folder in found:
        files = {one.relative_to(folder).as_posix().removesuffix(".txt"): one for one in folder.rglob("*.txt")}
        for path, one in files.items():
            (tmp_path / folder.name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder.name / path).write_bytes(one.read_bytes())
        project = reviewer.Project(str(tmp_path / folder.name))
        rules = {
            row.rule for path, one in files.items() for row in reviewer.review(path, one.read_bytes(), project, lists)
        }
        rule = files["bot/agents/x.py"].read_text().partition("\n")[0].removeprefix("# refused: ")
        if rule in rules:
            stopped[rule] += 1
        else:
            leaks.append((folder.name, rule, rules))
    assert leaks == []
    assert len(found) > 25


def test_every_honest_file_passes_among_the_others(tmp_path: Path, lists: reviewer.Allowed) -> None:
    found = [one for one in samples.honest() if not one.path.startswith("tests/examples")]
    for one in found:
        (tmp_path / one.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / one.path).write_bytes(one.content)
    project = reviewer.Project(str(tmp_path))
    rows = {one.path: reviewer.review(one.path, one.content, project, lists) for one in found}
    # Some import what is only there when they are read by themselves.
    assert [(path, row) for path, all_of_it in rows.items() for row in all_of_it if row.rule != "import"] == []


def test_every_change_set_out_of_bounds_is_refused(counts: Counts) -> None:
    found = sorted((HERE / "attacks" / "changes").glob("*.json"))
    stopped = counts.setdefault("change sets refused", Counter(of=len(found)))
    for file in found:
        try:
            troubles = listed.judge(listed.read(file.read_text()))
        except base.CheckError:
            stopped["unreadable"] += 1
            continue
        assert troubles, file.name
        stopped[troubles[0].rule] += 1
    assert len(found) > 100


def test_honest_change_sets_pass(counts: Counts) -> None:
    found = sorted((HERE / "honest" / "changes").glob("*.json"))
    assert {file.name: listed.judge(listed.read(file.read_text())) for file in found} == {f.name: [] for f in found}
    counts.setdefault("honest change sets passed", Counter(of=len(found)))["paths"] = len(found)


# --- the owner's own lists ---

USES_ZLIB = """'''Packs.'''

import zlib


def pack(text: str) -> bytes:
    '''Pack.'''
    return zlib.compress(text.encode())
"""


async def test_owner_allows_more_and_a_candidate_does_not(tmp_path: Path) -> None:
    path = "bot/tools/pack.py"
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(USES_ZLIB)
    more = '[modules]\nzlib = ["compress"]\n'
    (tmp_path / imports.OWNERS).write_text(more)  # in the candidate's own tree it means nothing
    changed = (base.ChangedFile(path, 0o100644, "added", 1),)
    subject = base.Subject(tmp_path, "0" * 40, (path,), changed, sandbox.Sandbox(), tmp_path)
    assert not (await imports.ImportsCheck()(subject)).passed
    own = base.Subject(tmp_path, "0" * 40, (path,), changed, sandbox.Sandbox(), tmp_path, allowed_more=more)
    assert (await imports.ImportsCheck()(own)).passed


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("[modules", "is no TOML"),
        ('builtins = ["eval"]', "and no builtins"),
        ('[modules]\nrandom = ["_os"]', "is private"),
        ('[modules]\nos = ["path.*"]', "is no name"),
        ('modules = ["os"]', "must hold lists of names"),
    ],
)
async def test_owners_lists_that_cannot_be_used_stop_every_change(more: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("X = 1\n")
    with pytest.raises(base.CheckError, match=r"allowed\.toml") as caught:
        await imports.read(tmp_path, ["x.py"], more=more)
    assert reason in str(caught.value)


def test_change_sets_are_json_that_people_may_write() -> None:
    for text in ("", "{}", "7", '{"files": 7}', '{"files": ["bot/agents/a.py"], "agents": [7]}', "[" * 100_000):
        with pytest.raises(base.CheckError):
            listed.judge(listed.read(text))
    assert json.loads("[]") == listed.judge(listed.read("[]"))
