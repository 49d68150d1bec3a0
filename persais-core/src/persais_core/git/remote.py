"""The repository's far end: where it is, and how we prove to it who we are.

The token goes from memory to libgit2 and nowhere else: no argument, no configuration file, no URL holds it. It is shown
to the host it is for alone, once in a connection; a server that sends us on to another host, or asks again after a
refusal, gets nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pygit2
from pydantic import SecretStr
from pygit2.enums import CredentialType

from persais_core import errors
from persais_core.settings import Settings

REMOTE = "persais"
"""Our name for the remote; a project's own `origin` is its owner's business."""
MAIN = "refs/heads/main"
REMOTE_MAIN = "refs/remotes/persais/main"

SSH = re.compile(r"(?:ssh://)?git@(?P<host>[^:/]+)[:/](?P<path>[^:]+?)(?:\.git)?/?\Z")


@dataclass(frozen=True)
class Remote:
    """A repository at a host of git repositories.

    Args:
        url: `https://…`, without a name or a password in it; on this computer, `http://` or a folder too.
        token: what opens it; None where nothing needs to be shown.
    """

    url: str
    token: SecretStr | None = None

    @property
    def name(self) -> tuple[str, str]:
        """(owner, repository) as the last two parts of the path."""
        owner, _, repository = urlsplit(self.url).path.strip("/").removesuffix(".git").rpartition("/")
        return owner.rpartition("/")[2], repository


def configured(settings: Settings) -> Remote | None:
    """The remote that the settings name; None: the repository has one in a folder of this computer.

    Raises:
        SettingsError: the address cannot be used.
    """
    return parse(settings.git_remote_url, settings.github_token) if settings.git_remote_url else None


def parse(url: str, token: SecretStr | None) -> Remote:
    """Read the address of a remote.

    Raises:
        SettingsError: it cannot be used; the message says which form can.
    """
    if match := SSH.match(url):
        raise errors.SettingsError(
            f"GIT_REMOTE_URL is an SSH address, for which a bot has no key; use "
            f"https://{match['host']}/{match['path']}.git and put a token into GITHUB_TOKEN"
        )
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise errors.SettingsError(
            "GIT_REMOTE_URL holds a name or a password, which git would write into files and logs; put the token into "
            "GITHUB_TOKEN and leave the address plain"
        )
    at_home = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if parts.scheme != "https" and not (parts.scheme == "http" and at_home) and not Path(url).is_absolute():
        raise errors.SettingsError("GIT_REMOTE_URL must look like https://github.com/you/your-bot.git")
    return Remote(url.rstrip("/"), token)


class Callbacks(pygit2.RemoteCallbacks):
    """What libgit2 asks us during one connection.

    Attributes:
        refused: why the far end did not take a reference; libgit2 itself counts that as a success.
    """

    def __init__(self, remote: Remote | None) -> None:
        super().__init__()
        self._remote, self._shown = remote, False
        self.refused: str | None = None

    def credentials(
        self, url: str, username_from_url: str | None, allowed_types: CredentialType
    ) -> pygit2.credentials.Username | pygit2.credentials.UserPass | pygit2.credentials.Keypair:
        """The token, for the host it belongs to, once.

        Raises:
            GitError: there is none, it was refused, or somebody else asks for it.
        """
        remote = self._remote
        if remote is None or remote.token is None:
            raise errors.GitError("the remote repository asks who we are; set GITHUB_TOKEN", key="git-no-token")
        if urlsplit(url).netloc != urlsplit(remote.url).netloc:
            raise errors.GitError(
                "the remote repository sends us to another host; check GIT_REMOTE_URL", key="git-elsewhere"
            )
        if self._shown:
            raise errors.GitError(
                "the remote repository refuses GITHUB_TOKEN; it may be wrong, expired, or without the right to write "
                "contents",
                key="git-token-refused",
            )
        self._shown = True
        return pygit2.UserPass("x-access-token", remote.token.get_secret_value())

    def push_update_reference(self, refname: str, message: str | None) -> None:
        """Keep why a reference was not taken."""
        if message:
            self.refused = f"{refname.removeprefix('refs/heads/')}: {message}"
