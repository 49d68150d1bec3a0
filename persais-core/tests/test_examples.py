"""Files of examples: what people write by hand, what we write, and what must not get in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from persais_core.domain import examples, plans
from persais_core.mechanic import examples as keeping

BY_HAND = """\
# The owner's own words.
agent: echo
examples:
  - say: Hello World
    expect: "Echo: Hello World"  # with the colon

  - say: Привет
    expect: Эхо
    match: contains
"""
LINES = "agent: echo\nexamples:\n"


def planned(*rows: tuple[str, str], agent: str = "echo", **fields: object) -> plans.Plan:
    made = [{"agent": agent, "say": say, "expect": expect, **fields} for say, expect in rows]
    return plans.Plan.model_validate({"understood": "x", "edit": [f"bot/agents/{agent}.py"], "examples": made})


def project(folder: Path, **files: str) -> Path:
    (folder / examples.FOLDER).mkdir(parents=True)
    for name, text in files.items():
        (folder / examples.FOLDER / f"{name}.yaml").write_text(text, "utf-8")
    return folder


# --- reading ---


def test_what_people_write_is_read(tmp_path: Path) -> None:
    (kept,) = examples.read_all(project(tmp_path, echo=BY_HAND))
    assert kept.agent == "echo"
    assert kept.path == "tests/examples/echo.yaml"
    assert [(e.say, e.expect, e.match) for e in kept.examples] == [
        ("Hello World", "Echo: Hello World", "exact"),
        ("Привет", "Эхо", "contains"),
    ]
    assert [e.language for e in kept.examples] == ["en", "ru"]


def test_a_project_without_examples_has_none(tmp_path: Path) -> None:
    assert examples.read_all(tmp_path) == ()


WRONG = {
    "a number": (LINES + "  - say: 42\n    expect: x\n", "example 1: say: must be text; put it in quotes"),
    "a yes": (LINES + "  - say: x\n    expect: yes\n", "example 1: expect: must be text; put it in quotes"),
    "a date": (LINES + "  - say: x\n    expect: 2026-01-02\n", "expect: must be text"),
    "no answer": (LINES + "  - say: x\n", "example 1: expect: is missing"),
    "a typo": (LINES + "  - say: x\n    expect: x\n    mach: exact\n", "mach: is not known here"),
    "another match": (LINES + "  - say: x\n    expect: x\n    match: regex\n", "example 1: match: "),
    "blank": (LINES + '  - say: x\n    expect: "  "\n', "must not be blank"),
    "empty": (LINES + '  - say: ""\n    expect: x\n', "must not be empty"),
    "too long": (LINES + f"  - say: {'x' * 501}\n    expect: x\n", "is longer than 500 characters"),
    "too many": (LINES + "".join(f"  - {{say: s{n}, expect: x}}\n" for n in range(21)), "more than 20"),
    "said twice": (LINES + "  - {say: a, expect: x}\n  - {say: a, expect: y}\n", "'a' stands there twice"),
    "no list": ("agent: echo\nexamples: hello\n", "must be a list"),
    "a list": ("- say: x\n", "must hold `agent:` and `examples:`"),
    "nothing": ("", "must hold `agent:` and `examples:`"),
    "more": (LINES.replace("agent", "owner: me\nagent") + "  []\n", "and nothing else"),
    "another agent": ("agent: parrot\nexamples: []\n", "says that it is about parrot"),
    "a hostile agent": ("agent: ../../etc\nexamples: []\n", "agent: "),
    "not YAML": ("agent: [echo\nexamples: []\n", "is no YAML: line 2"),
    "an impossible date": (LINES + "  - say: 2026-99-99\n    expect: x\n", "is no YAML"),
    "a zero byte": ("agent: echo\0\n", "is no YAML"),
    "an object": (LINES + "  - say: !!python/object/apply:os.system ['true']\n    expect: x\n", "is no YAML"),
    "references": (LINES + "  - &a {say: x, expect: x}\n  - *a\n", "uses references"),
    "a tower": ("[" * 9_000 + "]" * 9_000, "lists lie in lists"),
    "20 kB": (LINES + "#" * 20_001, "more than 20 kB"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_file_and_place(name: str, tmp_path: Path) -> None:
    text, told = WRONG[name]
    with pytest.raises(examples.ExamplesError) as caught:
        examples.read_all(project(tmp_path, echo=text))
    assert str(caught.value).startswith("tests/examples/echo.yaml")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bomb_of_references_is_refused_before_it_grows(tmp_path: Path) -> None:
    floors = "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10))
    with pytest.raises(examples.ExamplesError, match="uses references"):
        examples.read_all(project(tmp_path, echo=f"a0: &a0 {{x: y}}\n{floors}"))


def test_links_pipes_and_other_encodings_are_refused(tmp_path: Path) -> None:
    folder = project(tmp_path) / examples.FOLDER
    (tmp_path / "secret").write_text(BY_HAND)
    (folder / "echo.yaml").symlink_to(tmp_path / "secret")
    with pytest.raises(examples.ExamplesError, match="cannot be read"):
        examples.read_all(tmp_path)
    (folder / "echo.yaml").unlink()
    (folder / "echo.yaml").mkdir()
    with pytest.raises(examples.ExamplesError, match="no plain file"):
        examples.read_all(tmp_path)
    (folder / "echo.yaml").rmdir()
    (folder / "echo.yaml").write_bytes("agent: эхо".encode("cp1251"))
    with pytest.raises(examples.ExamplesError, match="UTF-8"):
        examples.read_all(tmp_path)
    (folder / "echo.yaml").rename(folder / "Echo!.yaml")
    with pytest.raises(examples.ExamplesError, match="not named after an agent"):
        examples.read_all(tmp_path)


# --- writing ---

# Anything that is a text in JSON; YAML has more than one way to write most of it.
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(lambda t: bool(t.strip()))


@given(says=st.lists(text, min_size=1, max_size=5, unique=True), expect=text)
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_back_the_same(says: list[str], expect: str) -> None:
    kept = examples.Examples(
        agent="echo", examples=tuple(examples.Example(say=say, expect=expect, match="contains") for say in says)
    )
    assert examples.parse(examples.text_of(kept), "echo") == kept


def test_the_file_is_one_that_people_would_write() -> None:
    made = keeping.merged({}, planned(("Hello World", "Echo: Hello World"), ("Привет 👋", "Эхо")))
    assert made == {
        "tests/examples/echo.yaml": "agent: echo\nexamples:\n"
        "  - say: Hello World\n    expect: 'Echo: Hello World'\n"
        "  - say: Привет 👋\n    expect: Эхо\n"
    }


def test_a_new_sentence_is_added_and_comments_stay() -> None:
    made = keeping.merged({"tests/examples/echo.yaml": BY_HAND}, planned(("New", "Echo: New")))
    assert made == {"tests/examples/echo.yaml": BY_HAND + "  - say: New\n    expect: 'Echo: New'\n"}


@pytest.mark.parametrize(
    "before",
    [
        "agent: echo\nexamples:\n- say: Hello\n  expect: Hi\n",
        "agent: echo\nexamples: [{say: Hello, expect: Hi}]\n",
        "examples:\n    - say: Hello\n      expect: Hi\nagent: echo",
    ],
)
def test_a_sentence_is_added_whatever_the_style(before: str) -> None:
    made = keeping.merged({"tests/examples/echo.yaml": before}, planned(("New", "Echo: New")))
    kept = examples.parse(made["tests/examples/echo.yaml"], "echo")
    assert [(e.say, e.expect) for e in kept.examples] == [("Hello", "Hi"), ("New", "Echo: New")]


def test_a_known_sentence_gets_the_new_answer_in_its_place() -> None:
    made = keeping.merged({"tests/examples/echo.yaml": BY_HAND}, planned(("Hello World", "HELLO WORLD")))
    kept = examples.parse(made["tests/examples/echo.yaml"], "echo")
    assert [(e.say, e.expect) for e in kept.examples] == [("Hello World", "HELLO WORLD"), ("Привет", "Эхо")]


def test_what_is_kept_already_changes_nothing() -> None:
    made = keeping.merged({"tests/examples/echo.yaml": BY_HAND}, planned(("Hello World", "Echo: Hello World")))
    assert made == {"tests/examples/echo.yaml": BY_HAND}


def test_a_full_file_says_so() -> None:
    full = examples.Examples(agent="echo", examples=tuple(examples.Example(say=f"s{n}", expect="x") for n in range(20)))
    with pytest.raises(examples.ExamplesError, match="has no room"):
        keeping.merged({"tests/examples/echo.yaml": examples.text_of(full)}, planned(("New", "x")))


def test_a_broken_file_is_not_written_over() -> None:
    with pytest.raises(examples.ExamplesError, match="is no YAML"):
        keeping.merged({"tests/examples/echo.yaml": "agent: [\n"}, planned(("New", "x")))


def test_only_the_files_of_the_plan_are_written(tmp_path: Path) -> None:
    windows = BY_HAND.replace("\n", "\r\n").encode()
    folder = project(tmp_path, parrot=BY_HAND.replace("echo", "parrot"))
    (folder / "tests/examples/echo.yaml").write_bytes(windows)
    plan = planned(("New", "Echo: New"))
    assert keeping.write(folder, plan) == ("tests/examples/echo.yaml",)
    written = (folder / "tests/examples/echo.yaml").read_bytes()
    assert (
        written
        == keeping.merged({"tests/examples/echo.yaml": windows.decode()}, plan)["tests/examples/echo.yaml"].encode()
    )
    assert (folder / "tests/examples/parrot.yaml").read_text() == BY_HAND.replace("echo", "parrot")
    assert keeping.write(folder, plans.Plan(understood="x", edit=("bot/agents/echo.py",))) == ()


# --- plans ---


def plan_error(**fields: object) -> str:
    with pytest.raises(ValidationError) as caught:
        plans.Plan.model_validate_json(json.dumps({"understood": "x", "edit": ["bot/agents/echo.py"], **fields}))
    return str(caught.value)


def test_a_plan_has_examples_only_of_agents_that_it_makes_or_edits() -> None:
    row = {"agent": "parrot", "say": "a", "expect": "b"}
    assert "neither makes nor edits" in plan_error(examples=[row])
    assert "neither makes nor edits" in plan_error(examples=[row], create=[{"kind": "tool", "name": "parrot"}])
    assert "without the part that it tests" in plan_error(examples=[row], edit=["tests/agents/test_parrot.py"])
    made = plans.Plan.model_validate(
        {"understood": "x", "create": [{"kind": "agent", "name": "parrot"}], "examples": [row]}
    )
    assert made.agents == ("parrot",)
    assert keeping.paths(made) == ("tests/examples/parrot.yaml",)


def test_a_plan_with_too_many_long_or_repeated_examples_is_refused() -> None:
    row = {"agent": "echo", "say": "a", "expect": "b"}
    assert "at most 10" in plan_error(examples=[row | {"say": str(n)} for n in range(11)])
    assert "at most 500" in plan_error(examples=[row | {"say": "x" * 501}])
    assert "say the same" in plan_error(examples=[row, row | {"expect": "c"}])
    assert "exact" in plan_error(examples=[row | {"match": "regex"}])
    assert "blank" in plan_error(examples=[row | {"expect": " \n"}])
    assert "examples" in plan_error(examples=[row | {"expect": None}])


def test_a_question_needs_no_examples_and_has_none() -> None:
    with pytest.raises(ValidationError, match="neither makes nor edits"):
        plans.Plan.model_validate(
            {"understood": "x", "question": "?", "examples": [{"agent": "echo", "say": "a", "expect": "b"}]}
        )


# --- judging ---


def test_an_exact_answer_may_differ_in_what_a_chat_does_not_show() -> None:
    wanted = examples.Example(say="a", expect="Echo: a\n")
    assert wanted.fits("Echo: a ")
    assert not wanted.fits("echo: a")
    assert not wanted.fits("Echo: a!")


def test_words_that_must_stand_in_an_answer_may_have_capitals() -> None:
    wanted = examples.Example(say="a", expect="rain", match="contains")
    assert wanted.fits("Rainy today.")
    assert not wanted.fits("Sunny.")


def test_a_complaint_names_agent_what_was_said_what_came_and_what_is_expected() -> None:
    wanted = examples.Example(say="Hello World", expect="Echo: Hello World")
    take = examples.Take(agent="echo", say="Hello World", outcome="answered", text="\u202ehi\n")
    assert examples.complaint(wanted, take) == (
        "echo: when told 'Hello World' it must answer 'Echo: Hello World', but it answered '\\u202ehi\\n'"
    )
    long = examples.complaint(wanted, take.model_copy(update={"text": "x" * 5000}))
    assert long is not None and len(long) < 300
