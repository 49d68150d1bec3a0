"""What a change is going to do: the plan, and the parts that it makes, edits and takes away."""

from __future__ import annotations

import keyword
import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from persais_core.domain.chats import Value
from persais_core.domain.configs import ConfigChange
from persais_core.domain.examples import Example, path_of
from persais_core.domain.names import BUILT_IN_AGENTS, NAME, is_emoji

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
AGENT_FILE = re.compile(r"bot/agents/([a-z][a-z0-9_]{0,39})\.py\Z")
PART_FILE = re.compile(r"bot/(?:agents|tools|schemas)/[a-z][a-z0-9_]{0,39}\.py\Z")
PLANNED_FILE = re.compile(r"(bot/(agents|tools|schemas)|tests/(agents|tools|schemas))/[a-z0-9_]+\.py\Z")

FIELD = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
OF_EVERY_RECORD = frozenset({"id", "created_at", "updated_at", "created_by", "is_deleted"})

MAX_ANSWER = 3000  # characters; what one message of a chat can hold, with room for what stands around it

PartKind = Literal["agent", "tool", "schema"]


def path_of_test(path: str) -> str:
    """Where the test of a part lies, by where the part lies: `bot/agents/x.py` has `tests/agents/test_x.py`."""
    _, folder, name = path.split("/")
    return f"tests/{folder}/test_{name}"


def gone_with(path: str) -> tuple[str, ...]:
    """What has no use without a part, by where the part lies: its test and, of an agent, its examples."""
    agent = AGENT_FILE.match(path)
    return (path_of_test(path), path_of(agent[1])) if agent else (path_of_test(path),)


class FieldSpec(Value):
    """One field of a schema, written `name:type` or `name:type?` where it may be empty."""

    name: str
    type: Literal["str", "int", "float", "bool", "datetime", "date"]
    optional: bool = False


class Part(Value):
    """One new agent, tool or schema.

    Args:
        name: snake_case; the file, the command and the table are named after it.
        title: as the user reads it.
        emoji: stands before it; what is none becomes the usual one.
        keywords: words that route a message to an agent.
        fields: of a schema.
    """

    kind: PartKind
    name: str
    title: str = ""
    emoji: str = "🤖"
    keywords: tuple[str, ...] = ()
    description: str = ""
    fields: tuple[FieldSpec, ...] = ()

    @field_validator("name")
    @classmethod
    def _usable_name(cls, name: str) -> str:
        if not NAME.match(name):
            raise ValueError(
                f"{name!r} is no usable name: a-z, 0-9 and _, starting with a letter, at most 40 characters"
            )
        if keyword.iskeyword(name) or keyword.issoftkeyword(name):
            raise ValueError(f"{name!r} is a word of the Python language; choose another name")
        return name

    @property
    def path(self) -> str:
        """Where it lies in the project."""
        return f"bot/{self.kind}s/{self.name}.py"

    @property
    def test_path(self) -> str:
        """Where its test lies."""
        return path_of_test(self.path)

    @field_validator("emoji")
    @classmethod
    def _a_sign(cls, emoji: str) -> str:
        """Models put words and markup there, too; no reason to ask them again."""
        return emoji if is_emoji(emoji) else "🤖"


class PlannedExample(Example):
    """One example that a change keeps.

    Args:
        agent: whose it is; made or edited by the same plan.
        instead_of: what was expected before, where the owner now asks for something else; found out by us.
        is_kept: it is kept already, with the same answer; found out by us.
    """

    agent: str
    instead_of: str | None = None
    is_kept: bool = False


class FieldRename(Value):
    """One field of a schema that is to be called otherwise, with what is in it.

    Args:
        schema_name: of the schema's file, without its ending.
    """

    schema_name: str
    before: str
    after: str

    @field_validator("before", "after")
    @classmethod
    def _usable_name(cls, name: str) -> str:
        if not FIELD.match(name) or keyword.iskeyword(name):
            raise ValueError(f"{name!r} is no name of a field: a-z, 0-9 and _, starting with a letter")
        if name in OF_EVERY_RECORD:
            raise ValueError(f"{name!r} is a field of every record; its name stays, and no other field gets it")
        return name

    @property
    def path(self) -> str:
        """Where the schema lies in the project."""
        return f"bot/schemas/{self.schema_name}.py"


class Plan(Value):
    """What a change is going to do, before anything is written.

    Exactly one of five shapes: work (`create`, `edit` or `remove` not empty), a `question` to the owner, a `decline`,
    an `answer` to what was no wish for a change, or settings of an agent to `configure`.

    Args:
        understood: the request in one sentence, in the owner's language; where left out, how what is said begins.
        slug: becomes the branch `feat/<slug>-v<n>`; of no account where nothing is made.
        create: new parts, scaffolded from templates before the coder starts.
        edit: existing files to change, relative to the project.
        remove: files of the existing parts to take away, each with its test and its examples; named as a kind and a
            name, too.
        renames: fields of edited schemas that are to be called otherwise, with what is in them.
        steps: what the coder is to do, one sentence each.
        examples: the owner's own sentences and what is to be answered, kept as tests.
        question: what must be known first.
        decline: why it cannot be done.
        answer: what the owner wanted to know.
        configure: what is to be set for an agent, which needs no code, but a tap like all else.
    """

    understood: str = Field(min_length=1, max_length=2000)
    slug: str = "change"
    create: tuple[Part, ...] = ()
    edit: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    renames: tuple[FieldRename, ...] = Field(default=(), max_length=10)
    steps: tuple[str, ...] = ()
    examples: tuple[PlannedExample, ...] = Field(default=(), max_length=10)
    question: str | None = None
    decline: str | None = None
    answer: str | None = Field(default=None, min_length=1, max_length=MAX_ANSWER)
    configure: ConfigChange | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_words_alone(cls, given: Any) -> Any:
        """Models leave out or empty what a plan without work has no use for; that is no reason to ask them again."""
        if not isinstance(given, dict):
            return given
        said = next((given[key] for key in ("question", "decline", "answer") if given.get(key) is not None), None)
        kept = dict(given)
        if not kept.get("slug") or said is not None or kept.get("configure") is not None:
            kept.pop("slug", None)
        if not kept.get("understood"):
            if isinstance(said, str) and said.strip():
                kept["understood"] = said.strip().partition("\n")[0][:2000]
            elif isinstance(wanted := kept.get("configure"), dict) and isinstance(wanted.get("agent"), str):
                kept["understood"] = wanted["agent"]
        return kept

    @field_validator("slug")
    @classmethod
    def _usable_slug(cls, slug: str) -> str:
        if not SLUG.match(slug) or len(slug) > 50:
            raise ValueError("slug: lower-case words joined by hyphens, at most 50 characters")
        return slug

    @field_validator("edit")
    @classmethod
    def _inside_the_project(cls, edit: tuple[str, ...]) -> tuple[str, ...]:
        for path in edit:
            if not PLANNED_FILE.match(path):
                raise ValueError(
                    f"{path!r} may not be changed: only bot/agents, bot/tools, bot/schemas and their tests may"
                )
        return edit

    @field_validator("remove", mode="before")
    @classmethod
    def _as_files(cls, remove: Any) -> Any:
        """A part named by its kind and name is its file; what goes with a part anyway need not be named."""
        if not isinstance(remove, (list, tuple)):
            return () if remove is None else remove
        parts = [
            f"bot/{part.get('kind')}s/{part.get('name')}.py" if isinstance(part, dict) else part for part in remove
        ]
        with_them = {
            gone for part in parts if isinstance(part, str) and PART_FILE.match(part) for gone in gone_with(part)
        }
        return tuple(dict.fromkeys(part for part in parts if not isinstance(part, str) or part not in with_them))

    @field_validator("remove")
    @classmethod
    def _parts_of_the_project(cls, remove: tuple[str, ...]) -> tuple[str, ...]:
        for path in remove:
            if not PART_FILE.match(path):
                raise ValueError(f"{path!r} may not be removed: only agents, tools and schemas of the project may")
            if (agent := AGENT_FILE.match(path)) and agent[1] in BUILT_IN_AGENTS:
                raise ValueError(f"{agent[1]} comes with the bot and cannot be removed")
        return remove

    @model_validator(mode="after")
    def _removes_what_it_leaves_alone(self) -> Plan:
        for path in sorted({*self.files} & {*self.remove, *self.gone}):
            raise ValueError(f"{path} cannot be removed and written by the same plan")
        return self

    @model_validator(mode="after")
    def _tests_of_its_own_parts(self) -> Plan:
        """Another part's test is not the plan's to change: it is what would show that the part was broken."""
        for path in self.edit:
            if path.startswith("tests/") and path not in self._tests:
                raise ValueError(f"{path} may not be changed without the part that it tests; name that part too")
        return self

    @model_validator(mode="after")
    def _one_shape(self) -> Plan:
        others = (self.question, self.decline, self.answer, self.configure)
        shapes = [bool(self.create or self.edit or self.remove), *(other is not None for other in others)]
        if sum(shapes) != 1:
            raise ValueError(
                "a plan either creates, edits or removes something, or asks one question, or declines, or answers, or "
                "configures"
            )
        if len(self.create) + len(self.edit) + len(self.remove) > 10:
            raise ValueError("a plan of more than 10 parts is too large; do it in several changes")
        names = [(part.kind, part.name) for part in self.create]
        if len(names) != len(set(names)):
            raise ValueError("two parts of one kind have the same name")
        return self

    @model_validator(mode="after")
    def _renames_of_its_own(self) -> Plan:
        for rename in self.renames:
            if rename.path not in self.edit:
                raise ValueError(f"to rename {rename.before}, the plan must edit {rename.path} as well")
        names = [(rename.path, name) for rename in self.renames for name in {rename.before, rename.after}]
        if len(names) != 2 * len(self.renames) or len(names) != len(set(names)):
            raise ValueError("renames: each field is renamed once, and to a name that no other rename is about")
        return self

    @model_validator(mode="after")
    def _examples_of_its_own(self) -> Plan:
        for example in self.examples:
            if example.agent not in self.agents:
                raise ValueError(f"an example is about {example.agent!r}, which this plan neither makes nor edits")
        said = [(example.agent, example.say) for example in self.examples]
        if len(said) != len(set(said)):
            raise ValueError("two examples say the same to one agent")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it is going to write, parts before their tests."""
        return (*(part.path for part in self.create), *(part.test_path for part in self.create), *self.edit)

    @property
    def writable(self) -> tuple[str, ...]:
        """The files that the coder may write: those of the plan, and the test of each part that is edited."""
        return tuple(dict.fromkeys((*self.files, *self._tests)))

    @property
    def _tests(self) -> tuple[str, ...]:
        """The tests of its parts."""
        return tuple(path_of_test(path) for path in self.files if path.startswith("bot/"))

    @property
    def gone(self) -> tuple[str, ...]:
        """The files that are not there afterwards: parts, then what goes with them where that is there."""
        return (*self.remove, *(path for part in self.remove for path in gone_with(part)))

    @property
    def only_removes(self) -> bool:
        """Whether there is nothing to be written, and so nothing for a coder to do."""
        return bool(self.remove) and not self.files

    @property
    def removed_agents(self) -> tuple[str, ...]:
        """Names of the agents that it takes away."""
        return tuple(match[1] for path in self.remove if (match := AGENT_FILE.match(path)))

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents that it makes or edits."""
        made = [part.name for part in self.create if part.kind == "agent"]
        edited = [match[1] for path in self.edit if (match := AGENT_FILE.match(path))]
        return tuple(dict.fromkeys((*made, *edited)))
