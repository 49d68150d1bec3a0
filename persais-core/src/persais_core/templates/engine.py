"""Fills the skeletons: a part goes in, files with text come out, and `scaffold` puts them into a project.

What comes out imports, passes lint, type check and its own test before anybody has touched it, so that a coder starts
from green. The terminal and the Mechanic use this one engine; nothing here runs the project's code except its
migrations' own heads, which are read to put a new migration on top.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from persais_core import errors
from persais_core.domain import plans
from persais_core.domain.chats import Language
from persais_core.templates import naming, quoting

if TYPE_CHECKING:
    from jinja2 import Environment

parse_field = naming.parse_field

TITLE_COLUMNS = 40
DESCRIPTION_COLUMNS = 600
KEYWORD_COLUMNS = 40
MAX_KEYWORDS = 20

VERSIONS = "bot/migrations/versions"

_ANNOTATIONS = {"datetime": "dt.datetime", "date": "dt.date"}
_COLUMNS = {
    "str": "sa.String()",
    "int": "sa.BigInteger()",
    "float": "sa.Float()",
    "bool": "sa.Boolean()",
    "datetime": "sa.DateTime(timezone=True)",
    "date": "sa.Date()",
}
_SAMPLES = {
    "str": '"Hello World"',
    "int": "7",
    "float": "1.5",
    "bool": "True",
    "datetime": "dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)",
    "date": "dt.date(2026, 1, 2)",
}
_NEW_SAMPLES = {
    "str": '"Good Morning"',
    "int": "8",
    "float": "2.5",
    "bool": "False",
    "datetime": "dt.datetime(2027, 2, 3, 4, 5, tzinfo=dt.UTC)",
    "date": "dt.date(2027, 2, 3)",
}
_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "yes or no",
    "datetime": "a moment, with its time zone",
    "date": "a day",
}


def part(kind: plans.PartKind, name: str, **values: Any) -> plans.Part:
    """Make a part from what somebody typed.

    Args:
        kind: agent, tool or schema.
        name: snake_case.
        values: the other fields of `plans.Part`.

    Raises:
        ScaffoldError: the name or a value cannot be used; says why.
    """
    try:
        made = plans.Part(kind=kind, name=name, **values)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise errors.ScaffoldError(reason) from None
    naming.check(made)
    return made


WAYS_TO_ONE = "`cd` into one (in a clone of Persais: persais-app), or make one: persais new my-bot"


def project_root(start: Path) -> Path:
    """The nearest directory, from `start` upward, that holds a bot project.

    Raises:
        ProjectError: there is none.
    """
    here = start.absolute()
    for folder in (here, *here.parents):
        if (folder / "bot").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise errors.ProjectError(
        f"{here} is not inside a bot project (a folder with bot/ and pyproject.toml); {WAYS_TO_ONE}"
    )


def render(part: plans.Part, language: Language = "en") -> dict[str, str]:
    """Fill the skeleton of one part and of its test.

    Args:
        part: a tool with fields becomes the tools of the schema with the same name.
        language: of the words that stand in for a missing description.

    Returns:
        Relative path to text: the module first, then its test.

    Raises:
        ScaffoldError: the name or a field cannot be used.
    """
    naming.check(part)
    values = _values(part, language)
    source, test = {
        "agent": ("agent/agent.py", "test/agent.py"),
        "schema": ("schema/schema.py", "test/schema.py"),
        "tool": ("tool/records.py", "test/records.py") if part.fields else ("tool/function.py", "test/function.py"),
    }[part.kind]
    return {
        part.path: _fill(source, values),
        part.test_path: _fill(test, values),
    }


def render_migration(schema: plans.Part, down_revision: str | None) -> tuple[str, dict[str, str]]:
    """Write the migration that makes a schema's table, without a database and without importing the schema.

    It equals what Alembic would find by comparing, which a test holds.

    Args:
        schema: a part of kind schema.
        down_revision: the revision it stands on, None for the first.

    Returns:
        Its revision id, and relative path to text.
    """
    naming.check(schema)
    # The id follows from the content, so that scaffolding the same thing twice gives the same file.
    told = "\n".join([down_revision or "", schema.name, *map(repr, schema.fields)])
    revision = hashlib.sha256(told.encode()).hexdigest()[:12]
    table = naming.table_name(schema.name)
    index = f'"ix_{table}_created_by"'
    values = _values(schema, "en") | {
        "revision": revision,
        "down_revision": down_revision,
        "index": quoting.listed(
            "op.create_index(", [index, f'"{table}"', '["created_by"]', "if_not_exists=True"], ")", indent=4
        ),
        "drop_index": quoting.listed("op.drop_index(", [index, f'table_name="{table}"'], ")", indent=4),
    }
    return revision, {f"{VERSIONS}/{revision}_create_{schema.name}.py": _fill("schema/migration.py", values)}


def scaffold(
    root: Path,
    parts: Sequence[plans.Part],
    *,
    dry_run: bool = False,
    migrations: bool = False,
    language: Language = "en",
) -> tuple[str, ...]:
    """Put new parts into a project: all of their files, or none.

    A tool beside a schema of the same name gets that schema's fields. Blocks.

    Args:
        root: a bot project.
        parts: what to make.
        dry_run: only say which files it would be.
        migrations: also write a migration for each schema.
        language: as in `render`.

    Returns:
        The relative paths, in the order they were made.

    Raises:
        ScaffoldError: a name cannot be used, or a file is there already; nothing was written.
        ProjectError: `root` is no bot project.
    """
    if not (root / "bot").is_dir():
        raise errors.ProjectError(f"{root} is no bot project: it has no bot/ directory; make one with persais new")
    files: dict[str, str] = {}
    for item in _with_fields(parts):
        _add(files, render(item, language))
    if migrations:
        down = _head(root)
        for item in parts:
            if item.kind == "schema":
                down, made = render_migration(item, down)
                _add(files, made)
    home = root.resolve()
    for path in files:
        target = root / path
        if target.exists() or target.is_symlink():
            raise errors.ScaffoldError(f"{path} is there already; choose another name or remove it first")
        if not target.resolve().is_relative_to(home):
            raise errors.ScaffoldError(f"{path} would lie outside the project: a directory on its way is a link")
    if not dry_run:
        _write(root, files)
    return tuple(files)


def _with_fields(parts: Sequence[plans.Part]) -> list[plans.Part]:
    fields = {item.name: item.fields for item in parts if item.kind == "schema"}
    return [
        item.model_copy(update={"fields": fields[item.name]})
        if item.kind == "tool" and not item.fields and item.name in fields
        else item
        for item in parts
    ]


def _add(files: dict[str, str], more: Mapping[str, str]) -> None:
    for path, text in more.items():
        if path in files:
            raise errors.ScaffoldError(f"{path} is asked for twice")
        files[path] = text


def _head(root: Path) -> str | None:
    # Alembic takes a second to load, and only this needs it.
    from persais_core.db import app_migrations

    return app_migrations.head(root)


def _write(root: Path, files: Mapping[str, str]) -> None:
    """Write all files; what was written is taken back when one of them fails."""
    written: list[Path] = []
    made: list[Path] = []
    try:
        for path, text in files.items():
            target = root / path
            for folder in reversed([target.parent, *target.parent.parents]):
                if not folder.exists():
                    folder.mkdir()
                    made.append(folder)
            with target.open("x", encoding="utf-8", newline="\n") as file:
                written.append(target)
                file.write(text)
    except OSError as error:
        for target in reversed(written):
            target.unlink(missing_ok=True)
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise errors.ScaffoldError(f"{path} could not be written: {error.strerror}; nothing was changed") from error


def _values(part: plans.Part, language: Language) -> dict[str, Any]:
    """Everything the skeletons name, made safe."""
    title = quoting.plain(part.title, TITLE_COLUMNS) or part.name.replace("_", " ").capitalize()
    description = quoting.plain(part.description, DESCRIPTION_COLUMNS) or _fill(
        "purpose", {"part": part, "language": language}
    )
    if description[-1] not in ".!?…":
        description += "."
    one_name = naming.singular(part.name)
    cls = naming.schema_class(part.name) if part.kind == "tool" else naming.class_name(part)
    fields = [
        {
            "name": field.name,
            "optional": field.optional,
            "annotation": _ANNOTATIONS.get(field.type, field.type) + (" | None" if field.optional else ""),
            "column": _COLUMNS[field.type],
            "default": _default(field),
            "sample": _SAMPLES[field.type],
            "new_sample": _NEW_SAMPLES[field.type],
            "new_annotation": f"{_ANNOTATIONS.get(field.type, field.type)} | None",
            "new_words": f"{_WORDS[field.type]}; without it, it stays.",
            "comparison": "is" if field.type == "bool" else "==",
            "words": _WORDS[field.type] + (", or nothing." if field.optional else "."),
        }
        for field in part.fields
    ]
    # A parameter with a default cannot stand before one without.
    required_first = sorted(fields, key=lambda field: bool(field["optional"]))
    parameters = [
        f"{item['name']}: {item['annotation']}{' = None' * bool(item['optional'])}" for item in required_first
    ]
    variable = "record"
    while any(field.name == variable for field in part.fields):
        variable = f"new_{variable}"
    add = f"add_{one_name}"
    module = naming.imported_as(part.name)
    samples = [f"{item['name']}={item['sample']}" for item in fields]
    values = [f"{item['name']}={item['name']}" for item in fields]
    return {
        "name": part.name,
        "title": title,
        "description": description,
        "class_name": cls,
        "module": module,
        "function": naming.function_name(part.name),
        "table": naming.table_name(part.name),
        "one_name": one_name,
        "one": one_name.replace("_", " "),
        "emoji": quoting.plain(part.emoji, 8, joiners=True) or "🤖",
        "titles": _titles(title),
        "keywords": _keywords(part),
        "fields": fields,
        "sorted_fields": required_first,
        "uses_dates": any(field.type in _ANNOTATIONS for field in part.fields),
        "uses_numbers": any(field.type == "int" for field in part.fields),
        "add_signature": quoting.listed(f"async def {add}(", ["context: Context", *parameters], f") -> {cls}:"),
        "list_signature": quoting.listed(
            f"async def list_{part.name}(", ["context: Context", "limit: int = 100"], f") -> list[{cls}]:"
        ),
        "get_signature": quoting.listed(
            f"async def get_{one_name}(", ["context: Context", "record_id: int"], f") -> {cls} | None:"
        ),
        "update_signature": quoting.listed(
            f"async def update_{one_name}(",
            [
                "context: Context",
                "record_id: int",
                *(f"{item['name']}: {item['new_annotation']} = None" for item in fields),
            ],
            f") -> {cls} | None:",
        ),
        "variable": variable,
        "add_record": quoting.listed(f"{variable} = {cls}(", values, ")", indent=4),
        "tool_added": quoting.listed(f"added = await {module}.{add}(", ["context", *samples], ")", indent=4),
        "tool_updated": quoting.listed(
            f"updated = await {module}.update_{one_name}(",
            ["context", "added.id", *(f"{item['name']}={item['new_sample']}" for item in fields[:1])],
            ")",
            indent=4,
        ),
        "stored": _stored(cls, samples),
    }


def _default(field: plans.FieldSpec) -> str:
    """What stands behind the type of a schema's field; a whole number gets a column that holds 64 bits."""
    if field.type == "int":
        return f" = Field({'default=None, ' * field.optional}sa_type=BigInteger)"
    return " = None" * field.optional


def _titles(title: str) -> str:
    literal = quoting.quoted(title)
    return quoting.listed("title = {", [f'"en": {literal}', f'"ru": {literal}'], "}", indent=4)


def _keywords(part: plans.Part) -> str:
    cleaned = (quoting.plain(word, KEYWORD_COLUMNS) for word in part.keywords)
    words = dict.fromkeys(word for word in cleaned if word) or {part.name.replace("_", " "): None}
    literals = [quoting.quoted(word) for word in list(words)[:MAX_KEYWORDS]]
    return quoting.listed("keywords = (", literals, ")", indent=4, one_tuple=True)


def _stored(cls: str, samples: Sequence[str]) -> str:
    record = quoting.listed(f"record = {cls}(", samples, ")", indent=4)
    return f"{record}\n    added = await context.records({cls}).add(record)"


def _lowered(text: str) -> str:
    """The sentence as it goes on after a colon; abbreviations and `I` keep their capitals."""
    first = text.split(" ", 1)[0]
    return text if first == "I" or first[1:] != first[1:].lower() else text[:1].lower() + text[1:]


def _fill(template: str, values: Mapping[str, Any]) -> str:
    return _environment().get_template(f"{template}.jinja").render(values)


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,  # Python, not HTML; every value went through `quoting`
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(docstring=quoting.docstring, quoted=quoting.quoted, lowered=_lowered)
    return made
