"""Both languages say the same things, and the code asks for nothing else."""

from __future__ import annotations

import ast as python
import functools
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import get_args

import pytest
from fluent.syntax import FluentParser, ast

import persais_core
from persais_core import audit, errors, texts
from persais_core.db import app_steps
from persais_core.domain import names
from persais_core.domain.changes import ChangeState
from persais_core.domain.chats import Language
from persais_core.domain.configs import SETTINGS
from persais_core.orchestrator import journal
from persais_core.security.access import Claim

SOURCES = Path(persais_core.__file__).parent
# Names that are put together: the start that stands in the code, and every end it may get.
COMPOSED = {
    "state-": [*(state.value.replace("_", "-") for state in ChangeState), "awaiting-answer"],
    "claim-": [claim.value for claim in Claim],
    "help-": [*(command.name for command in names.COMMANDS), *get_args(names.Theme), "own"],
    "menu-": [command.name for command in names.COMMANDS if command.place_in_menu],
    "alert-": list(audit.KINDS),
    "act-": [act.replace(" ", "-").replace("_", "-") for act in audit.ACTS],
    "share-": ["private", "shared"],
    "coder-status-": [status.replace("_", "-") for status in journal.CODER_STATUSES],
    "page-state-": ["open", "merged", "closed"],
    "detail-": [detail.replace("_", "-") for detail in journal.DETAILS],
    "abort-": ["nothing", "unknown"],
    "deploy-": ["nothing", "unknown"],
    "sandbox-": ["enforced", "limits-only", "refused"],
    "check-": ["paths", "imports", "secrets", "lint", "typecheck", "migrations", "tests", "examples", "production"],
    "stage-": ["scaffolding", "coding", "verifying", "delivering"],
    "card-": ["deploying", "deployed", "aborted", "failed"],
    "button-": ["deploy", "abort", "view", "retry", "diff", "try", "stop", "set", "leave"],
    "config-allowed-": [setting.replace("_", "-") for setting in SETTINGS],
    "error-": sorted(
        {key for file in SOURCES.rglob("*.py") for key in re.findall(r'\bkey="([a-z-]+)"', file.read_text("utf-8"))}
    ),
    "migration-": sorted(app_steps.SENTENCES),
    "dead-": ["retried", "dropped"],
    "dead-kind-": ["turn", "send", "change", "migration", "update", "job"],
    "dead-button-": ["retry", "drop"],
    "emulators-model-does-": ["repeat", "prefix", "suffix", "upper", "lower", "reverse"],
    "emulators-model-talk-": ["hello", "thanks", "who", "other"],
}


# Russian sentences whose number stands in the genitive, which has two forms only.
GENITIVE = {
    "card-files",
    "config-max-tokens",
    "error-rounds-over",
    "error-ended-processes",
    "error-ended-files",
    "error-preview-stuck",
}
# What the owner of this house wants in English on every card, and words that Russian has taken over as they are.
ENGLISH_IN_RUSSIAN = {
    *(
        "Abort",
        "Branch",
        "Deploy",
        "Deployed",
        "Diff",
        "Files",
        "PR",
        "Passed",
        "Pull",
        "Tests",
        "View",
        "and",
        "changed",
    ),
    *("drop", "main", "pull", "push", "request"),
    *("Echo", "GitHub", "Landlock", "Linux", "UTC"),
    *("default", "private", "shared", "temperature"),  # to be written so
}


def entries(language: Language) -> list[ast.EntryType]:
    source = (resources.files("persais_core") / "locales" / f"{language}.ftl").read_text("utf-8")
    return FluentParser(with_spans=False).parse(source).body


def messages(language: Language) -> dict[str, ast.Message]:
    return {entry.id.name: entry for entry in entries(language) if isinstance(entry, ast.Message)}


def variables(node: object) -> Iterator[str]:
    """The names of the values that a message needs."""
    if isinstance(node, ast.VariableReference):
        yield node.id.name
    elif isinstance(node, ast.BaseNode):
        for value in vars(node).values():
            yield from variables(value)
    elif isinstance(node, list):
        for item in node:
            yield from variables(item)


@functools.cache
def trees() -> list[python.Module]:
    """Our sources, parsed once."""
    return [python.parse(path.read_text("utf-8")) for path in SOURCES.rglob("*.py")]


def asked() -> tuple[set[str], set[str]]:
    """The ids that stand in our sources as literals, and the starts of those that are put together."""
    whole: set[str] = set()
    starts: set[str] = set()
    for tree in trees():
        for call in python.walk(tree):
            if not isinstance(call, python.Call) or len(call.args) < 2:
                continue
            if getattr(call.func, "attr", getattr(call.func, "id", "")) != "say":
                continue
            name = call.args[1]
            for choice in (name.body, name.orelse) if isinstance(name, python.IfExp) else (name,):
                if isinstance(choice, python.JoinedStr) and isinstance(choice.values[0], python.Constant):
                    starts.add(str(choice.values[0].value))
                elif isinstance(choice, python.Constant):
                    whole.add(str(choice.value))
    return whole, starts


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_a_catalogue_has_no_line_that_cannot_be_read(language: Language) -> None:
    assert [entry.content for entry in entries(language) if isinstance(entry, ast.Junk)] == []


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_no_message_is_said_twice_or_empty(language: Language) -> None:
    names = [entry.id.name for entry in entries(language) if isinstance(entry, ast.Message)]
    assert [name for name in names if names.count(name) > 1] == []
    assert [name for name, message in messages(language).items() if message.value is None] == []


def test_both_languages_have_the_same_messages_with_the_same_values() -> None:
    english, russian = (
        {name: set(variables(message.value)) for name, message in messages(language).items()}
        for language in texts.LANGUAGES
    )
    assert english == russian


def test_every_message_that_the_code_asks_for_exists() -> None:
    whole, starts = asked()
    assert len(whole) > 50, "the search itself is broken"
    assert whole - set(messages("en")) == set()
    assert starts - set(COMPOSED) == set(), "list what these may become in COMPOSED"


def test_every_message_is_said_somewhere() -> None:
    whole, _ = asked()
    composed = {f"{start}{end}" for start, ends in COMPOSED.items() for end in ends}
    # Some names travel before they are said: as values, or as what a step of a migration is called.
    named = {
        node.value
        for tree in trees()
        for node in python.walk(tree)
        if isinstance(node, python.Constant) and isinstance(node.value, str)
    }
    by_agent = {"master-activated", "mechanic-activated"}  # the name of the agent comes first
    assert set(messages("en")) - whole - composed - named - by_agent == set()


def selectors(node: object) -> Iterator[ast.SelectExpression]:
    """The choices that a message makes."""
    if isinstance(node, ast.SelectExpression):
        yield node
    if isinstance(node, ast.BaseNode):
        for value in vars(node).values():
            yield from selectors(value)
    elif isinstance(node, list):
        for item in node:
            yield from selectors(item)


def forms(choice: ast.SelectExpression) -> set[str]:
    return {variant.key.name for variant in choice.variants if isinstance(variant.key, ast.Identifier)}


def test_every_russian_choice_by_number_has_the_three_forms() -> None:
    for name, message in messages("ru").items():
        for choice in selectors(message.value):
            if forms(choice) & {"one", "few", "many"} and name not in GENITIVE:
                assert {"one", "few"} <= forms(choice) and forms(choice) & {"many", "other"}, name
            if forms(choice) & {"one", "few", "many"} and name in GENITIVE:
                assert "few" not in forms(choice), f"{name} is no exception any more"


def test_a_number_before_a_word_is_chosen_by_in_both_languages() -> None:
    counted = re.compile(r"\{ \$count \} (?=[A-Za-zА-Яа-я])")
    for language in texts.LANGUAGES:
        source = (resources.files("persais_core") / "locales" / f"{language}.ftl").read_text("utf-8")
        loose = [line for line in source.splitlines() if counted.search(line) and re.match(r"[a-z]", line)]
        assert loose == []


def test_russian_has_no_english_words_left() -> None:
    left: dict[str, list[str]] = {}
    for name, message in messages("ru").items():
        plain = " ".join(
            element.value for pattern in patterns(message.value) for element in pattern.elements
            if isinstance(element, ast.TextElement)
        )  # fmt: skip
        # Commands, settings, what is written as code, and addresses are the same in every language.
        plain = re.sub(r"`[^`]*`|/[a-z_]+(?: [a-z]+)*|\b[A-Z]+(?:[_-][A-Z0-9]+)+(?:=\d)?|\"[^\"]*\"", " ", plain)
        words = [word for word in re.findall(r"[A-Za-z]{2,}", plain) if word not in ENGLISH_IN_RUSSIAN]
        if words:
            left[name] = words
    assert left == {}


def patterns(node: object) -> Iterator[ast.Pattern]:
    """All texts of a message, those of its choices too."""
    if isinstance(node, ast.Pattern):
        yield node
    if isinstance(node, ast.BaseNode):
        for value in vars(node).values():
            yield from patterns(value)
    elif isinstance(node, list):
        for item in node:
            yield from patterns(item)


@pytest.mark.parametrize("start", COMPOSED)
def test_every_name_that_is_put_together_exists(start: str) -> None:
    assert {f"{start}{end}" for end in COMPOSED[start]} - set(messages("en")) == set()


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_every_message_can_be_said(language: Language) -> None:
    for name, message in messages(language).items():
        needed = set(variables(message.value))
        said = texts.say(language, name, **{value: 3 if value in {"count", "round"} else "x" for value in needed})
        assert said.strip(), name
        assert "{" not in said, name


@pytest.mark.parametrize(
    ("name", "value"), [("agents", "count"), ("dead-tries", "count"), ("mechanic-too-long", "size")]
)
def test_russian_counts_in_its_three_forms(name: str, value: str) -> None:
    def form(count: int) -> str:
        given: dict[str, object] = {"limit": "L", value: count}
        return texts.say("ru", name, **given).replace(str(count), "N")

    assert form(2) == form(3) == form(24)
    assert form(5) == form(11) == form(12) == form(20)
    assert form(21) == form(101)
    assert len({form(21), form(2), form(5)}) == 3


def test_english_counts_in_its_two_forms() -> None:
    assert texts.say("en", "card-files", count=1) == "Files: 1 changed"
    assert texts.say("en", "card-files", count=5) == "Files: 5 changed"


def test_values_stand_in_the_text_without_invisible_marks() -> None:
    assert texts.say("ru", "mechanic-branch", branch="feat/echo-v1").endswith("feat/echo-v1")
    assert texts.say("en", "mechanic-branch", branch="feat/echo-v1") == "Branch: feat/echo-v1"


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_what_a_person_wrote_is_never_read_as_a_message(language: Language) -> None:
    said = texts.say(language, "hello-name", name='{ $secret } { -term } " \\u0041')
    assert '{ $secret } { -term } " \\u0041' in said


def test_an_error_is_explained_with_all_that_stands_in_it_in_the_language_of_its_reader() -> None:
    failed = errors.Named(("check-tests", "check-lint"))
    inner = errors.GitError("it fails", key="recheck-failed", checks=failed)
    again = inner.as_(errors.ChangeError)
    outer = errors.ChangeError("both", key="and-more", first=again, more=errors.DatabaseError("as it is"))
    shown = {"en": "Tests, Style", "ru": "Тесты, Стиль"}
    for language in texts.LANGUAGES:
        first, more = texts.explain(language, outer).split("\n\n")
        assert (shown[language] in first, more) == (True, "as it is")
    assert (type(again), str(again), again.key) == (errors.ChangeError, "it fails", "recheck-failed")


def test_a_missing_message_or_value_is_a_bug_that_is_told() -> None:
    with pytest.raises(KeyError):
        texts.say("en", "no-such-message")
    with pytest.raises(KeyError):
        texts.say("en", "mechanic-branch")


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("ru", "ru"),
        ("ru-RU", "ru"),
        ("RU-ru", "ru"),
        ("rus", "en"),
        ("en-GB", "en"),
        ("uk", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_the_language_follows_the_tag_of_the_client(code: str | None, language: Language) -> None:
    assert texts.language_of(code) == language
