"""Which names a part may have, and which classes, functions and tables follow from them."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Sequence

from persais_core import errors
from persais_core.domain import names, plans

MAX_FIELDS = 50

FIELD = re.compile(r"(?P<name>[^:]+):(?P<type>[a-z]+)(?P<optional>\?)?\Z")
FIELD_TYPES = ("str", "int", "float", "bool", "datetime", "date")

# Plurals that do not end the way English plurals do, or words that only look like one.
SINGULARS = {
    "calories": "calorie",
    "cookies": "cookie",
    "movies": "movie",
    "news": "news",
    "people": "person",
    "series": "series",
    "species": "species",
}

# Names that rendered modules use themselves.
_USED_CLASSES = frozenset(
    {"Agent", "BigInteger", "Context", "Field", "Message", "Record", "Tool", "User", *dir(builtins)}
)
_USED_FIELDS = frozenset({"bool", "cls", "context", "dt", "float", "int", "record_id", "self", "str"})


def check(part: plans.Part) -> None:
    """Refuse a part whose name or fields would not work.

    Raises:
        ScaffoldError: says which name, and why.
    """
    if part.kind == "agent":
        if part.name in names.BUILT_IN_AGENTS:
            raise errors.ScaffoldError(f"every bot has an agent named {part.name} already; choose another name")
        if part.name in names.BUILT_IN_COMMANDS:
            raise errors.ScaffoldError(f"/{part.name} is a command of every bot; choose another name for the agent")
    if part.kind == "schema" and not part.fields:
        raise errors.ScaffoldError(
            f"the schema {part.name} has no fields; write them as name:type, for example title:str done:bool"
        )
    check_fields(part.fields)


def check_fields(fields: Sequence[plans.FieldSpec]) -> None:
    """Refuse fields that cannot be columns of a record.

    Raises:
        ScaffoldError: names the field.
    """
    if not fields:
        return
    # Imported here: an agent has no fields, and its scaffold need not wait for SQLAlchemy.
    from persais_core.db.records import Record

    if len(fields) > MAX_FIELDS:
        raise errors.ScaffoldError(f"{len(fields)} fields are too many for one schema; use at most {MAX_FIELDS}")
    seen: set[str] = set()
    for field in fields:
        name = field.name
        if not names.NAME.match(name):
            raise errors.ScaffoldError(
                f"{name!r} is no usable field name: a-z, 0-9 and _, starting with a letter, at most 40 characters"
            )
        if keyword.iskeyword(name):
            raise errors.ScaffoldError(f"the field {name} is a word of the Python language; choose another name")
        if name in Record.model_fields or hasattr(Record, name):
            raise errors.ScaffoldError(f"every record has {name} already; choose another name for the field")
        if name in _USED_FIELDS:
            raise errors.ScaffoldError(f"a field cannot be named {name}; choose another name")
        if name in seen:
            raise errors.ScaffoldError(f"the field {name} is given twice")
        seen.add(name)


def parse_field(text: str) -> plans.FieldSpec:
    """Read a field as people write it: `name:type`, or `name:type?` where it may be empty.

    Raises:
        ScaffoldError: it is not written so, or the type is unknown.
    """
    found = FIELD.match(text.strip())
    if not found:
        raise errors.ScaffoldError(f"{text!r} is no field; write name:type, or name:type? where it may be empty")
    if found["type"] not in FIELD_TYPES:
        raise errors.ScaffoldError(f"{text!r}: a field is of type {', '.join(FIELD_TYPES)}")
    spec = plans.FieldSpec.model_validate(
        {"name": found["name"].strip(), "type": found["type"], "optional": bool(found["optional"])}
    )
    check_fields([spec])
    return spec


def singular(name: str) -> str:
    """The name of one of them: `characters` gives `character`; a word that is no plural stays as it is."""
    head, mark, word = name.rpartition("_")
    if word in SINGULARS:
        one = SINGULARS[word]
    elif word.endswith("ies") and len(word) > 4:
        one = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        one = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        one = word[:-1]
    else:
        one = word
    return head + mark + one


def camel(name: str, kind: plans.PartKind) -> str:
    """The class of a part; `context` gives `ContextAgent`, because rendered modules use `Context` themselves."""
    made = "".join(word.capitalize() for word in name.split("_"))
    return made + kind.title() if made in _USED_CLASSES or keyword.iskeyword(made) else made


def class_name(part: plans.Part) -> str:
    """The class an agent or a schema becomes; a schema's is in the singular."""
    return camel(singular(part.name) if part.kind != "agent" else part.name, part.kind)


def schema_class(name: str) -> str:
    """The class of the schema with this name, as tools import it."""
    return camel(singular(name), "schema")


def function_name(name: str) -> str:
    """The function of a tool without a schema; names that rendered modules or Python use get an ending."""
    return f"{name}_tool" if name in {"context", "text", "query"} or hasattr(builtins, name) else name


def imported_as(name: str) -> str:
    """What the test of a tool calls its module; a test uses some names itself."""
    taken = name in {"added", "answer", "context", "context_for", "dt"} or hasattr(builtins, name)
    return "tools" if taken or len(name) > 20 else name


def table_name(name: str) -> str:
    """The table of a schema."""
    return f"agent_{name}"
