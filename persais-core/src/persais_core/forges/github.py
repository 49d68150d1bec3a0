"""Pull requests on GitHub, or on a GitHub Enterprise server.

All of it goes through the published REST API with one token, which needs the rights *contents*, *pull requests* and
*commit statuses* (read and write) for this one repository. GitHub does the merging; taking a merge back has no call of
its own there, so the reverting commit is made in the workspace and pushed. Rate limits and failures of the server are
waited out by the library, three times at most.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from persais_core import errors
from persais_core.db.tables.evolution import PullRequest
from persais_core.domain.changes import Verdict
from persais_core.forges.base import PullRequestLink
from persais_core.git.remote import Remote
from persais_core.git.repository import Repository
from persais_core.settings import GITHUB_API_URL

if TYPE_CHECKING:
    from githubkit import GitHub
    from githubkit.exception import RequestFailed

TIMEOUT = 30.0  # seconds for one request
MAX_DESCRIPTION = 140  # characters of a commit status, as GitHub takes them
FAILURES = (ValueError, LookupError, TypeError, AttributeError)
"""What an answer that is not GitHub's leads to."""


class GitHubForge:
    """Implements `forges.base.Forge`.

    Args:
        remote: where the repository is, and the token.
        repository: the workspace, whose remote it is.
        api_url: base URL of the API.
        retry: what decides whether a failed request is made again; the library's own rule where not given.
    """

    def __init__(
        self,
        remote: Remote,
        repository: Repository,
        api_url: str = GITHUB_API_URL,
        *,
        retry: Callable[[Any, int], Any] | None = None,
    ) -> None:
        self._remote, self._repository, self._api_url, self._retry = remote, repository, api_url, retry
        self._owner, self._name = remote.name
        self._client: GitHub[Any] | None = None

    async def open(self, *, branch: str, head: str, base: str, title: str, body: str) -> PullRequestLink:
        """Open a pull request."""
        texts = {"title": title, "body": body}
        with self._told():
            found = await self._open_of(branch)
            if found:
                row = await self._ask("PATCH", f"pulls/{found[0]['number']}", json=texts)
            else:
                row = await self._ask("POST", "pulls", json=texts | {"head": branch, "base": "main"})
            return PullRequestLink(number=row["number"], url=row["html_url"])

    async def report(self, head: str, verdicts: Sequence[Verdict]) -> None:
        """Show the verdicts as statuses of the commit."""
        with self._told():
            for verdict in verdicts:
                status = {
                    "state": "success" if verdict.passed else "failure",
                    "context": f"persais/{verdict.check}",
                    "description": verdict.summary[:MAX_DESCRIPTION] or None,
                }
                await self._ask("POST", f"statuses/{head}", json=status)

    async def comment(self, number: int, text: str) -> None:
        """Say something under a pull request."""
        with self._told():
            await self._ask("POST", f"issues/{number}/comments", json={"body": text})

    async def merge(self, number: int, *, head: str) -> str:
        """Merge into main."""
        from githubkit.exception import GitHubException, RequestFailed

        with self._told():
            row = await self._ask("GET", f"pulls/{number}")
            # First, as somebody may have merged at GitHub what nobody approved here.
            if row["head"]["sha"] != head:
                raise errors.ForgeError(
                    f"pull request #{number} has newer commits than the one that was approved",
                    key="forge-newer",
                    number=str(number),
                )
            if row["base"]["ref"] != "main":
                raise errors.ForgeError(
                    f"pull request #{number} goes to {row['base']['ref']} and not to main any more; nothing was merged",
                    key="forge-retargeted",
                    number=str(number),
                )
            if merged := _merge_of(row, head):
                return merged
            if row["state"] != "open":
                raise errors.ForgeError(f"pull request #{number} is closed", key="forge-closed", number=str(number))
            title = f"Merge pull request #{number}: {row['title']}"
            merge = {"sha": head, "merge_method": "merge", "commit_title": title}
            try:
                made = await self._ask("PUT", f"pulls/{number}/merge", json=merge)
                return str(made["sha"])
            except (GitHubException, *FAILURES) as error:
                # It may be merged for all that: the answer can get lost, and a second try is refused then.
                row = await self._after_merge(number)
                if merged := _merge_of(row, head):
                    return merged
                if isinstance(error, RequestFailed) and error.response.status_code in (405, 409):
                    raise self._why_not(number, row) from error
                raise

    async def _after_merge(self, number: int) -> Any:
        """A pull request that was asked to be merged, without an answer that says what came of it.

        Raises:
            ForgeUnavailableError: nobody can tell now.
        """
        try:
            with self._told():
                return await self._ask("GET", f"pulls/{number}")
        except errors.ForgeError as error:
            raise error.as_(errors.ForgeUnavailableError) from error

    async def merged(self, number: int, *, head: str) -> str | None:
        """The commit on main that merged a pull request."""
        with self._told():
            return _merge_of(await self._ask("GET", f"pulls/{number}"), head)

    def _why_not(self, number: int, row: Any) -> errors.ForgeError:
        """Why GitHub does not merge a pull request."""
        match row.get("mergeable_state"):
            case "dirty":
                return errors.ForgeError(
                    "main has changed meanwhile in the same places; tap Retry to have it made anew on what main is now",
                    key="merge-conflict-somewhere",
                )
            case "blocked" | "behind" | "draft":
                return errors.ForgeError(
                    f"main is protected at GitHub, and pull request #{number} does not meet its rules; merge it there, "
                    "or let the token's owner pass the rules",
                    key="merge-protected",
                    number=str(number),
                )
        return errors.ForgeError(
            f"GitHub does not merge pull request #{number}; see why on its page and try again",
            key="merge-refused",
            number=str(number),
        )

    async def revert(self, merge_commit: str, *, reason: str) -> str:
        """Take a merge back."""
        try:
            return await self._repository.revert(merge_commit, f"Revert {merge_commit[:12]}\n\n{reason}")
        except errors.GitUnavailableError as error:
            raise errors.ForgeUnavailableError(
                f"the repository at GitHub cannot be reached ({error}); try again later", key="forge-away"
            ) from error
        except errors.GitError as error:
            raise error.as_(errors.ForgeError) from error

    async def failed_run(self, commit: str) -> str | None:
        """Why the workflows of a commit on main failed; None: they did not, or the token may not read them."""
        try:
            with self._told():
                found = await self._ask("GET", "actions/runs", params={"head_sha": commit, "branch": "main"})
                failed = [
                    f"the workflow {run['name']} ended with {run['conclusion']}: {run['html_url']}"
                    for run in found["workflow_runs"]
                    if run["status"] == "completed"
                    and run["conclusion"] not in ("success", "skipped", "neutral", "cancelled")
                ]
        except errors.ForgeError:
            return None  # that right is not asked for; without it only the clock tells
        return failed[0] if failed else None

    async def close(self, branch: str) -> None:
        """Close whatever is open for a branch, without merging."""
        with self._told():
            for row in await self._open_of(branch):
                await self._ask("PATCH", f"pulls/{row['number']}", json={"state": "closed"})

    async def _open_of(self, branch: str) -> list[dict[str, Any]]:
        """What is open for a branch."""
        mine = {"head": f"{self._owner}:{branch}", "state": "open"}
        found: list[dict[str, Any]] = await self._ask("GET", "pulls", params=mine)
        return found

    async def page(self, number: int, key: str) -> tuple[PullRequest, str] | None:
        """None: the pages are GitHub's."""
        return None

    async def _ask(self, method: str, path: str, **given: Any) -> Any:
        """One request about this repository, and the JSON of its answer."""
        # Imported at the first use: it costs a second that a chat without a change need not wait for.
        if self._client is None:
            from githubkit import GitHub

            token = self._remote.token
            self._client = GitHub(
                token.get_secret_value() if token else None,
                base_url=self._api_url.rstrip("/") + "/",
                timeout=TIMEOUT,
                user_agent="persais",
                follow_redirects=False,
                http_cache=False,
                auto_retry=self._retry or True,
            )
        answer = await self._client.arequest(method, f"repos/{self._owner}/{self._name}/{path}", **given)
        return answer.json()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The library's failures in our words."""
        from githubkit.exception import GitHubException, RateLimitExceeded, RequestFailed

        try:
            yield
        except RateLimitExceeded as error:
            raise errors.ForgeUnavailableError(
                "GitHub says that we ask too often; try again in some minutes", key="forge-busy"
            ) from error
        except RequestFailed as error:
            raise self._refusal(error) from error
        except (GitHubException, *FAILURES) as error:
            raise errors.ForgeUnavailableError(
                f"GitHub cannot be reached or answers something else ({type(error).__name__}); try again later",
                key="forge-away",
            ) from error

    def _refusal(self, error: RequestFailed) -> errors.ForgeError:
        code = error.response.status_code
        place = f"{self._owner}/{self._name}"
        match code:
            case 401:
                return errors.ForgeError("GitHub refuses GITHUB_TOKEN; make a new one", key="forge-token")
            case 403:
                return errors.ForgeError(
                    f"GITHUB_TOKEN may not do that in {place}; it needs contents, pull requests and commit statuses, "
                    "read and write",
                    key="forge-rights",
                    repository=place,
                )
            case 404:
                return errors.ForgeError(
                    f"GitHub shows no repository {place} to GITHUB_TOKEN; check GIT_REMOTE_URL and the token's "
                    "repositories",
                    key="forge-missing",
                    repository=place,
                )
            case 301 | 302 | 307 | 308:
                return errors.ForgeError(
                    f"{place} has moved at GitHub; put its new address into GIT_REMOTE_URL",
                    key="forge-moved",
                    repository=place,
                )
            case _ if code >= 500:
                return errors.ForgeUnavailableError(
                    f"GitHub fails with status {code}; try again later", key="forge-failed", status=str(code)
                )
        return errors.ForgeError(
            f"GitHub refuses it ({code}): {_message(error)}", key="forge-refused", cause=_message(error)
        )


def _merge_of(row: Any, head: str) -> str | None:
    """The commit on main that merged a pull request at a commit of its branch; None: nothing did."""
    is_this = row["merged"] and row["head"]["sha"] == head and row["base"]["ref"] == "main"
    return str(row["merge_commit_sha"]) if is_this else None


def _message(error: RequestFailed) -> str:
    """GitHub's own words, one line."""
    try:
        found = error.response.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return "no reason given"
    more = found.get("errors")
    details = more if isinstance(more, list) else []  # of objects, of texts, or whatever stands between us and GitHub
    words = [str(one.get("message", "")) if isinstance(one, dict) else str(one) for one in (found, *details)]
    return " ".join(" ".join(word for word in words if word).split())[:200] or "no reason given"
