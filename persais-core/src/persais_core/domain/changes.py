"""What passes through an evolution: the plan, the change that carries it out, and the verdicts on it."""

from __future__ import annotations

import keyword
import re
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from persais_core.domain.chats import Language, Value
from persais_core.domain.configs import ConfigChange
from persais_core.domain.examples import Example
from persais_core.domain.names import NAME, is_emoji

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
AGENT_FILE = re.compile(r"bot/agents/([a-z][a-z0-9_]{0,39})\.py\Z")
PLANNED_FILE = re.compile(r"(bot/(agents|tools|schemas)|tests/(agents|tools|schemas))/[a-z0-9_]+\.py\Z")

MAX_ANSWER = 3000  # characters; what one message of a chat can hold, with room for what stands around it

PartKind = Literal["agent", "tool", "schema"]


class ChangeState(StrEnum):
    """Where a change stands. The order is the order of its life."""

    PLANNING = "planning"
    SCAFFOLDING = "scaffolding"
    CODING = "coding"
    VERIFYING = "verifying"
    DELIVERING = "delivering"
    AWAITING_APPROVAL = "awaiting_approval"
    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    ANSWERED = "answered"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen to the change any more; a failed one can be tried again or aborted."""
        return self in {ChangeState.DEPLOYED, ChangeState.ROLLED_BACK, ChangeState.ABORTED, ChangeState.ANSWERED}

    @property
    def can_be_aborted(self) -> bool:
        """Whether the change can still be called off; what is merged is rolled back instead."""
        return not self.is_over and self is not ChangeState.DEPLOYING


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


class Plan(Value):
    """What a change is going to do, before anything is written.

    Exactly one of five shapes: work (`create` or `edit` not empty), a `question` to the owner, a `decline`, an `answer`
    to what was no wish for a change, or settings of an agent to `configure`.

    Args:
        understood: the request in one sentence, in the owner's language; where left out, how what is said begins.
        slug: becomes the branch `feat/<slug>-v<n>`; of no account where nothing is made.
        create: new parts, scaffolded from templates before the coder starts.
        edit: existing files to change, relative to the project.
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

    @model_validator(mode="after")
    def _tests_of_its_own_parts(self) -> Plan:
        """Another part's test is not the plan's to change: it is what would show that the part was broken."""
        own = {f"tests/{part.kind}s/test_{part.name}.py" for part in self.create}
        own |= {
            f"tests/{path.split('/')[1]}/test_{path.split('/')[2]}" for path in self.edit if path.startswith("bot/")
        }
        for path in self.edit:
            if path.startswith("tests/") and path not in own:
                raise ValueError(f"{path} may not be changed without the part that it tests; name that part too")
        return self

    @model_validator(mode="after")
    def _one_shape(self) -> Plan:
        others = (self.question, self.decline, self.answer, self.configure)
        shapes = [bool(self.create or self.edit), *(other is not None for other in others)]
        if sum(shapes) != 1:
            raise ValueError(
                "a plan either creates or edits something, or asks one question, or declines, or answers, or configures"
            )
        if len(self.create) + len(self.edit) > 10:
            raise ValueError("a plan of more than 10 parts is too large; do it in several changes")
        names = [(part.kind, part.name) for part in self.create]
        if len(names) != len(set(names)):
            raise ValueError("two parts of one kind have the same name")
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
    def agents(self) -> tuple[str, ...]:
        """Names of the agents that it makes or edits."""
        made = [part.name for part in self.create if part.kind == "agent"]
        edited = [match[1] for path in self.edit if (match := AGENT_FILE.match(path))]
        return tuple(dict.fromkeys((*made, *edited)))


class Verdict(Value):
    """What one check found.

    Args:
        check: paths, imports, secrets, lint, typecheck, tests or examples.
        passed: whether the change may go on.
        summary: one line for the card.
        findings: one line each, for the coder to mend: where, what, and what to do instead.
        seconds: how long the check took.
    """

    check: str
    passed: bool
    summary: str = ""
    findings: tuple[str, ...] = ()
    seconds: float = 0.0


class Notice(Value):
    """A message that tells how the wish to call a change off, or to roll it back, fares, until that has ended.

    Args:
        key: of the message in the outbox.
        language: of whoever wished it.
    """

    key: str
    chat_id: int
    topic_id: int = 0
    language: Language


class Change(Value):
    """One evolution of the bot, from the request to its end.

    Args:
        id: number shown to people; never used twice.
        base: commit of main it started from, 40 hex digits.
        commit: what was delivered, or None before.
        checked_on: the commit of main together with which it was checked again, after main had moved on from `base`.
        files: changed paths, relative to the project.
        verified: digest of the files as the checks saw them.
        estimate: US dollars that earlier changes of this bot cost in the middle; 0 where there were none.
        cost: US dollars spent on models so far.
        corrections: what the owner said after seeing an earlier plan of the same request, oldest first.
        replaces: the change whose plan was corrected.
        replaced_by: the correction that this one was called off for.
        attempt: how often it was tried again.
        ended_in: the state in which it failed or was called off; None while it does well.
        last_failure: what the checks of the last round found, without what differs from run to run.
        unable: why nothing comes of this plan: what the coder said that changed nothing, or what main has become;
            trying again then begins with a new one.
        merge_commit: on main, once it was merged.
        error: why it failed, for the owner.
        note: what goes on while it is deployed, for the owner.
        losses: what it drops or binds in the tables, one sentence each; that needs a tap of its own.
        unsandboxed: its code was run without isolation, which everybody who decides on it must see.
        platform: who deploys it, once that was asked for; empty for this computer.
        buttons: what each button of the card carries, by action.
        stages: seconds each stage took, by its name.
        called_off: somebody wants it called off, and it has not come to that yet; nothing is merged meanwhile.
        left_on_main: its version failed, and it could not be taken out of main yet.
        abort_error: why the last try to clear it away failed.
        notices: what is told of the wish to call it off.
        rollback_notice: the message of whoever had it rolled back; the end of that is told there, in their language.
    """

    id: int
    chat_id: int
    topic_id: int = 0
    user_id: int
    turn_id: int | None = None
    language: Language
    request: str
    corrections: tuple[str, ...] = ()
    replaces: int | None = None
    replaced_by: int | None = None
    attempt: int = 0
    state: ChangeState = ChangeState.PLANNING
    ended_in: ChangeState | None = None
    plan: Plan | None = None
    branch: str | None = None
    base: str | None = None
    commit: str | None = None
    checked_on: str | None = None
    files: tuple[str, ...] = ()
    verified: str = ""
    verdicts: tuple[Verdict, ...] = ()
    round: int = 0
    last_failure: str = ""
    unable: str = ""
    merge_commit: str | None = None
    pull_request: int | None = None
    pull_request_url: str | None = None
    estimate: float = 0.0
    tokens: int = 0
    cost: float = 0.0
    error: str | None = None
    note: str | None = None
    losses: tuple[str, ...] = ()
    unsandboxed: bool = False
    platform: str = ""
    buttons: dict[str, str] = Field(default_factory=dict)
    stages: dict[str, float] = Field(default_factory=dict)
    called_off: bool = False
    left_on_main: bool = False
    abort_error: str | None = None
    notices: tuple[Notice, ...] = ()
    rollback_notice: Notice | None = None

    @property
    def said_last(self) -> str:
        """The owner's newest words about it, which tell it from the changes that it corrects."""
        return self.corrections[-1] if self.corrections else self.request

    @property
    def is_asking(self) -> bool:
        """Whether it waits for the owner's answer to a question."""
        return self.state is ChangeState.PLANNING and self.plan is not None and self.plan.question is not None

    @property
    def awaits_setting(self) -> bool:
        """Whether it waits for a tap that sets what the plan wants to be set for an agent."""
        return self.state is ChangeState.PLANNING and self.plan is not None and self.plan.configure is not None

    @property
    def standing(self) -> str:
        """Where it stands as people are told, in words joined by hyphens: its state, or what of them it waits for."""
        if self.is_asking:
            return "awaiting-answer"
        return (ChangeState.AWAITING_APPROVAL if self.awaits_setting else self.state).value.replace("_", "-")
