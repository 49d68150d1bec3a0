"""Every error a user may read, one family per room.

A `PersaisError` is expected: its text is one plain sentence that says what to do, it reaches the terminal or the chat
without a traceback, and the docstring of its class explains the state things are left in. Anything else that is raised
is a bug: it goes to the log with its traceback, and the user gets a generic apology.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

E = TypeVar("E", bound="PersaisError")


@dataclass(frozen=True)
class Named:
    """Messages of the catalogues as one value of an error: said in its reader's language, with commas between them.

    Args:
        ids: of the messages, such as `check-tests`.
    """

    ids: tuple[str, ...]


class PersaisError(Exception):
    """Something expected went wrong; the message says what to do about it.

    Args:
        message: one sentence in English, for the terminal and the log.
        key: id of the same sentence in the catalogues, without its `error-`, for errors that a chat shows.
        values: what stands for its placeholders; `Named` messages and other errors are said in the reader's language.
    """

    def __init__(self, message: str = "", *, key: str | None = None, **values: object) -> None:
        super().__init__(message)
        self.key, self.values = key, values

    def as_(self, kind: type[E]) -> E:
        """The same sentence as an error of another family, to be raised from this one."""
        return kind(str(self), key=self.key, **self.values)


class SettingsError(PersaisError):
    """A setting is missing or cannot be used. Nothing was started."""


class DatabaseError(PersaisError):
    """The database cannot be started or reached. Nothing was written."""


class ProjectError(PersaisError):
    """The bot project on disk cannot be used as it is. Nothing was changed."""


class ScaffoldError(PersaisError):
    """A template could not be filled from the given names. No file was written."""


class AgentError(PersaisError):
    """An agent file cannot be loaded, or an agent broke its contract."""


class ModelError(PersaisError):
    """The language model did not give a usable answer. The turn can be asked again."""


class ModelUnavailableError(ModelError):
    """The model's endpoint is down, refuses the key or answers rubbish. Commands that need no model still work."""


class BudgetError(ModelError):
    """The next call of a model would cost more than the owner allows. Nothing was asked."""


class GitError(PersaisError):
    """A git operation failed. The running bot's checkout is as it was."""


class GitUnavailableError(GitError):
    """The remote repository is down or cannot be reached. The same may go well later."""


class ForgeError(PersaisError):
    """The place that keeps pull requests refused. The branch is kept."""


class ForgeUnavailableError(ForgeError):
    """The place that keeps pull requests is down, busy or cannot be reached. The same may go well later."""


class CoderError(PersaisError):
    """The coding backend failed. The worktree is kept for reading; the change can be retried."""


class SandboxError(PersaisError):
    """The sandbox could not be set up, so candidate code was not run."""


class ChangeError(PersaisError):
    """A change cannot go on. Main and the running bot are as they were."""


class PlanError(ChangeError):
    """The plan of a change is not usable, even after one repair."""


class DeployError(PersaisError):
    """The new release did not take over. The old one keeps serving."""


class ChannelError(PersaisError):
    """The chat service refused or could not be reached. What was to be sent stays in the outbox."""
