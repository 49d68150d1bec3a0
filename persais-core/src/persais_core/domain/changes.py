"""What carries a plan out: the change, where it stands, and the verdicts on it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from persais_core.domain.chats import Lane, Language, Value
from persais_core.domain.plans import Plan


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


def subject_of_change(number: int) -> str:
    """What the log of acts calls a change."""
    return f"change {number}"


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

    @property
    def lane(self) -> Lane:
        """Where the message stands."""
        return Lane(chat_id=self.chat_id, topic_id=self.topic_id)


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
        left: what an earlier change has left to be dropped or bound, which the same tap does.
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
    left: tuple[str, ...] = ()
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
    def lane(self) -> Lane:
        """Where it was asked for."""
        return Lane(chat_id=self.chat_id, topic_id=self.topic_id)

    @property
    def subject(self) -> str:
        """What the log of acts calls it."""
        return subject_of_change(self.id)

    @property
    def writable(self) -> tuple[str, ...]:
        """The files that the coder may write; none without a plan."""
        return self.plan.writable if self.plan else ()

    @property
    def removed(self) -> tuple[str, ...]:
        """Those of its changed files that it takes away, parts first."""
        return tuple(path for path in self.plan.gone if path in self.files) if self.plan else ()

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
