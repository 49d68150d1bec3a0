"""The documentation says what is so: names are those of the code, links lead somewhere, examples can be read."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path
from typing import Protocol

import pytest
import typer
import yaml

from persais_core import checks, cli, settings
from persais_core.channels.base import Channel
from persais_core.coders.aider import environment
from persais_core.coders.base import Coder
from persais_core.deployers.base import Deployer
from persais_core.domain import examples, first_turns, names
from persais_core.emulators.telegram import terminal
from persais_core.forges.base import Forge
from persais_core.mechanic import preview, rounds
from persais_core.supervisor import releases, serving

CORE = Path(__file__).resolve().parents[1]
ROOT = CORE.parent
DOCS = ROOT / "docs"
PAGES = DOCS / "pages"
TEXTS = (*sorted(PAGES.glob("*.md")), ROOT / "README.md", CORE / "README.md", CORE / "CHANGELOG.md")

CODE_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ +(?P<title>.+?) *$", re.MULTILINE)
ROW = re.compile(r"^\| (?P<first>[^|]+?) \|", re.MULTILINE)

WATCHED = f"{settings.Settings.model_fields['watch_seconds'].default / 60:g} minutes"
FACTS = {
    "changes": (
        f"There are {rounds.MAX_ROUNDS} rounds at most",
        f"watched for {WATCHED}",
        f"within {releases.Pace.healthy:g} seconds",
        f"below {releases.MEMORY_CAP} MB",
        f"breaks in {first_turns.BROKEN} of its first {first_turns.COUNTED} answers",
        f"{serving.FAILED_PROBES} health checks in a row",
        f"{preview.IDLE / 60:g} minutes of silence",
        f"at most {examples.MAX_EXAMPLES} examples, of {examples.MAX_TEXT} characters",
    ),
    "how-it-works": (
        f"{rounds.MAX_ROUNDS} rounds at most",
        f"watched for {WATCHED}",
        f"It has {releases.Pace.healthy:g} seconds and {releases.MEMORY_CAP} MB of memory",
        f"started again, {serving.RESTARTS} times within two minutes at most",
    ),
    "chat": (f"there are {rounds.MAX_ROUNDS} rounds at most", f"within {WATCHED}"),
    "safety": (f"watched for {WATCHED}",),
    "playbook": (f"first {WATCHED}",),
    "troubleshooting": (f"first {WATCHED}",),
    "cli": (f"nothing new for {terminal.UNDER_WAY / 60:g} minutes",),
    "index": (f"another {environment.SIZE} MB",),
    "../../README": (f"about {environment.SIZE} MB more",),
    "../../persais-core/src/persais_core/templates/project/.env.example.jinja": (f"about {environment.SIZE} MB",),
}
"""Sentences that hold a figure of the code, by page."""
FOR_WHOM: dict[names.Who, str] = {
    "everybody": "everybody",
    "admins": "admins",
    "owners": "the agent's owner, admins",
    "triers": "whoever tries a change",
    "claimants": "whoever holds the code",
}
"""What the table of commands says for each kind of right."""
PROTOCOLS: dict[str, type] = {"a channel": Channel, "a coder": Coder, "a forge": Forge, "a deployer": Deployer}
"""What a new part of each kind must do, by its heading on the page of the rooms."""


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def prose(file: Path) -> str:
    """A text without its code blocks."""
    return CODE_BLOCK.sub("", file.read_text("utf-8"))


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text("utf-8")


def section(name: str, title: str) -> str:
    """What stands under one heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name}.md has no section {title!r}"
    return found[1]


def anchors(file: Path) -> set[str]:
    """The anchors that the site and GitHub both make of a page's headings."""
    titles = (match["title"] for match in HEADING.finditer(prose(file)))
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


@pytest.mark.parametrize("file", TEXTS, ids=name_of)
def test_links_lead_to_files_and_headings_that_exist(file: Path) -> None:
    lost = []
    for match in LINK.finditer(prose(file)):
        target = match["target"]
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        place = (file.parent / path).resolve() if path else file
        if not place.exists() or (anchor and anchor not in anchors(place)):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("file", TEXTS, ids=name_of)
def test_python_examples_compile_and_import_only_public_names(file: Path) -> None:
    public = set(importlib.import_module("persais_core").__all__)
    for match in CODE_BLOCK.finditer(file.read_text("utf-8")):
        if match["language"] != "python":
            continue
        tree = ast.parse(match["code"])
        compile(tree, name_of(file), "exec")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "persais_core":
                assert {alias.name for alias in node.names} <= public


def test_every_page_is_in_the_navigation_once() -> None:
    config = yaml.safe_load((DOCS / "mkdocs.yml").read_text("utf-8"))
    named: list[str] = []
    for entry in config["nav"]:
        for value in entry.values():
            named += [value] if isinstance(value, str) else [page for item in value for page in item.values()]
    assert sorted(named) == sorted(file.name for file in PAGES.glob("*.md"))


def test_every_picture_is_shown_somewhere() -> None:
    shown = {Path(match["target"]).name for file in TEXTS for match in LINK.finditer(prose(file))}
    assert {file.name for file in (PAGES / "pictures").glob("*.png")} <= shown


def test_the_site_loads_nothing_from_elsewhere() -> None:
    config = yaml.safe_load((DOCS / "mkdocs.yml").read_text("utf-8"))
    assert config["theme"]["font"] is False
    assert not {"extra_css", "extra_javascript"} & config.keys()
    # Drawings in that language would have the reader's browser fetch a program from a public address.
    assert all("```mermaid" not in file.read_text("utf-8") for file in TEXTS)


def test_every_setting_is_in_the_table_and_nothing_else_is() -> None:
    table = page("settings").partition("## What lies in PERSAIS_HOME")[0]
    named = [match["first"].strip("`") for match in ROW.finditer(table)]
    fields = [field.upper() for field in settings.Settings.model_fields]
    assert sorted(name for name in named if name.isupper()) == sorted(fields)


def test_the_tables_defaults_are_those_of_the_settings() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", page("settings"), re.MULTILINE))
    for name, field in settings.Settings.model_fields.items():
        told = rows[name.upper()]
        if isinstance(field.default, bool):
            assert told == f"`{str(field.default).lower()}`"
        elif isinstance(field.default, (str, int, float, Path)):
            value = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
            assert told == f"`{value}`", name


def test_every_command_has_its_section() -> None:
    titles = re.findall(r"^## persais (\w+)$", page("cli"), re.MULTILINE)
    assert titles == list(cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_subcommand_and_option_is_told(name: str) -> None:
    text = section("cli", f"persais {name}")
    command = typer.main.get_command(importlib.import_module(f"persais_core.cli.{name}").app)
    for subname, subcommand in getattr(command, "commands", {"": command}).items():
        if subname:
            assert f"persais {name} {subname}" in text
        for option in subcommand.params:
            if getattr(option, "hidden", False) or option.param_type_name != "option":
                continue
            flag = option.opts[0]
            if flag not in {"--help", "--install-completion", "--show-completion"}:
                assert flag in text, f"persais {name} {subname} {flag}"


def test_every_make_target_is_told() -> None:
    told = set(re.findall(r"`make ([a-z-]+)", section("cli", "make")))
    shown = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert shown - told <= {"help", "setup"}
    assert told <= shown


def test_every_chat_command_is_told_with_whom_it_is_for() -> None:
    rows = re.findall(r"^\| `/(\w+)[^`]*`[^|]*\| ([^|]+?) \|", section("chat", "Commands"), re.MULTILINE)
    assert dict(rows) == {command.name: FOR_WHOM[command.who] for command in names.COMMANDS}


def test_the_commands_that_wait_for_nothing_are_told() -> None:
    found = re.search(r"like any other\.(.*?)wait for nothing else", section("chat", "Commands"), re.DOTALL)
    assert found
    assert set(re.findall(r"`/(\w+)`", found[1])) == {c.name for c in names.COMMANDS if c.is_beside_the_lane}


@pytest.mark.parametrize("title", PROTOCOLS)
def test_the_page_of_the_rooms_names_all_that_a_new_part_must_do(title: str) -> None:
    found = re.search(rf"^### {title}\n(.*?)(?=^##)", page("rooms"), re.MULTILINE | re.DOTALL)
    assert found
    of_all = [
        vars(base) for base in PROTOCOLS[title].__mro__ if getattr(base, "_is_protocol", False) and base is not Protocol
    ]
    wanted = {name for members in of_all for name in {*members, *members.get("__annotations__", {})}}
    assert {name for name in wanted if not name.startswith("_")} - set(re.findall(r"`(\w+)`", found[1])) == set()


def test_every_room_is_told_from_the_top_floor_down() -> None:
    project = tomllib.loads((CORE / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = [room.strip() for layer in layers for room in layer.split("|")]
    table = page("rooms").partition("## Where do I add")[0]
    assert [room for match in ROW.finditer(table) for room in re.findall(r"`(\w+)`", match["first"])] == rooms


def test_the_checks_are_told_in_their_order() -> None:
    named = [match[1] for match in re.finditer(r"^ +\| (\w+) \| ", page("how-it-works"), re.MULTILINE)]
    assert [name for name in named if name != "Check"] == list(checks.ORDER)


@pytest.mark.parametrize("name", FACTS)
def test_the_figures_are_those_of_the_code(name: str) -> None:
    text = (PAGES / name).read_text("utf-8") if name.endswith(".jinja") else page(name)
    assert [fact for fact in FACTS[name] if fact not in text] == []


def test_every_button_of_a_change_is_told() -> None:
    labels = re.findall(r"^button-[a-z-]+ = (.+)$", (CORE / "src/persais_core/locales/en.ftl").read_text("utf-8"), re.M)
    told = set(re.findall(r"\*\*(.+?)\*\*", section("chat", "Buttons")))
    assert set(labels) - told == set()


def test_the_newest_version_is_in_the_changelog() -> None:
    version = importlib.import_module("persais_core").__version__
    assert f"## [{version}]" in (CORE / "CHANGELOG.md").read_text("utf-8")


def test_the_workflow_may_only_read() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow["jobs"].values())
