"""The contract of a coder: it is given a tree, files it may touch and a task, and reports what became of it.

A coder never judges its own work and never commits: `edited` only means that files differ. Whoever called looks at the
tree, runs the checks and decides. A job that did not end as `edited` has left the tree as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from pydantic import Field, SecretStr, field_validator

from persais_core.domain.chats import Value

Status = Literal[
    "edited",
    "no_edits",
    "malformed",
    "denied",
    "token_limit",
    "cost_limit",
    "llm_error",
    "apply_error",
    "crashed",
    "timed_out",
]


class CodeJob(Value):
    """One task for a coder.

    Args:
        root: the tree, absolute; paths below are relative to it, with `/`.
        edit: existing files that may be changed.
        create: names or globs of files that may be made; `*` does not cross a `/`.
        read: files the model sees and may not change.
        message: the task, as the model reads it.
        model: name of the model, as its server knows it.
        base_url: OpenAI-compatible server, up to and including /v1.
        api_key: its key; never shown.
        api_key_setting: name of the setting that holds it, for sentences about it.
        timeout_seconds: wall clock of the whole run.
        max_cost: US dollars after which no further call is made; None: no limit.
        prices: US dollars per token in and out, for servers that do not tell what a call cost; None: unknown.
        secrets: values that must never stand in what the model reads.
        scratch: folder outside `root` for everything the run writes besides the edits.
    """

    root: Path
    edit: tuple[str, ...] = ()
    create: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    message: str = Field(min_length=1)
    model: str
    base_url: str
    api_key: SecretStr
    api_key_setting: str = "LLM_API_KEY"
    timeout_seconds: float = Field(default=300.0, gt=0)
    max_cost: float | None = None
    prices: tuple[float, float] | None = None
    secrets: tuple[SecretStr, ...] = ()
    scratch: Path

    @field_validator("root", "scratch")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError("must be absolute, because the coder runs in another folder")
        return path

    @field_validator("edit", "create", "read")
    @classmethod
    def _inside(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            # Hidden names are git's, settings with secrets, and settings of the coder itself.
            hidden = any(part.startswith(".") for part in path.split("/"))
            if hidden or path.startswith("/") or str(PurePosixPath(path)) != path:
                raise ValueError(f"{path!r} must be a plain path inside the tree")
        return paths


class CodeResult(Value):
    """What became of a job.

    Args:
        status: `edited` when a file differs and the last reply was applied whole; anything else is a failure.
        edited: files that differ from before; none after a failure.
        denied: paths the model wanted to write, or the coder wrote, and may not.
        reply: the model's last words.
        tokens_in: tokens sent, of all calls.
        tokens_out: tokens received, of all calls.
        cost: US dollars, of all calls, as far as known.
        requests: calls made, failed ones too.
        seconds: wall clock of the run.
        detail: one sentence in English about a failure, for the terminal and the log; empty when edited.
        key: id of the same sentence in the catalogues, without its `error-`; empty where the status says it all.
        values: what stands for its placeholders.
    """

    status: Status
    edited: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    reply: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    requests: int = 0
    seconds: float = 0.0
    detail: str = ""
    key: str = ""
    values: dict[str, str] = Field(default_factory=dict)


class Coder(Protocol):
    """Writes code with the help of a model."""

    @property
    def name(self) -> str:
        """Its name in the catalogue."""
        ...

    async def prepare(self, tell: Callable[[str], None]) -> None:
        """Make ready whatever is needed, such as an installation; cheap when all is there.

        Args:
            tell: called with one line of progress now and then.

        Raises:
            CoderError: it cannot be made ready; the message says what to do.
        """
        ...

    async def warm(self) -> None:
        """Do ahead what the next job would wait for, as far as it can be known; cheap, and never fails."""
        ...

    async def run(self, job: CodeJob) -> CodeResult:
        """Carry out one job; every way it can fail is a status of the result.

        Raises:
            CoderError: the job cannot be started at all; nothing was changed.
        """
        ...

    async def close(self) -> None:
        """Give back what `warm` made; no job is running any more."""
        ...
