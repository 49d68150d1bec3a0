"""GitHub on loopback: its API for one repository, what it is sent held against GitHub's own description of the API,
and the repository itself over git's smart HTTP, served by git's own server program behind the same token."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pygit2
import uvicorn
from githubkit_schemas.v2026_03_10 import models
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from persais_core import errors
from persais_core.git.bare import BareRepository

TOKEN = "github_pat_planted_7Yw2"
OWNER, NAME = "ann", "my-bot"
RIGHTS = frozenset({"contents", "pull_requests", "statuses"})


@dataclass
class GitHubStandIn:
    """One repository with a branch main.

    Attributes:
        url: base URL of the API and of the repository.
        path: the bare repository.
        pulls: by number, as the API tells them.
        statuses: (commit, context, state) in the order they came.
        comments: (number, text).
        failures: statuses to answer the next requests of the API with, oldest first.
        lost: statuses to answer with in place of the next merge, which is done, and after it, oldest first.
        before_merging: called just before a merge; somebody else is faster.
        is_away: neither the API nor the repository can be used.
        odd: JSON to answer the next requests of the API with, oldest first, and its status.
        rights: what the token may do.
        is_protected: main takes no push and no merge.
        runs: of workflows, as the API tells them.
        authorizations: every Authorization header that was seen.
    """

    url: str
    path: Path
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    statuses: list[tuple[str, str, str]] = field(default_factory=list)
    comments: list[tuple[int, str]] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    before_merging: Callable[[], None] | None = None
    is_away: bool = False
    odd: list[object] = field(default_factory=list)
    odd_status: int = 200
    rights: frozenset[str] = RIGHTS
    is_protected: bool = False
    runs: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)

    @property
    def git_url(self) -> str:
        """What GIT_REMOTE_URL is set to."""
        return f"{self.url}/{OWNER}/{NAME}.git"

    @property
    def main(self) -> str:
        """The commit of main."""
        return str(pygit2.Repository(str(self.path)).references["refs/heads/main"].target)

    @property
    def branches(self) -> list[str]:
        """All branches."""
        return sorted(pygit2.Repository(str(self.path)).branches.local)

    def protect(self) -> None:
        """Have main take no push and no merge any more."""
        self.is_protected = True
        hook = self.path / "hooks" / "update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(
            '#!/bin/sh\n[ "$1" != refs/heads/main ] || { echo protected branch hook declined >&2; exit 1; }\n'
        )
        hook.chmod(0o755)

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(cls, folder: Path) -> AsyncIterator[GitHubStandIn]:
        """Serve on a free port while the block runs."""
        path = folder / OWNER / f"{NAME}.git"
        pygit2.init_repository(str(path), bare=True, initial_head="main").config["http.receivepack"] = "true"
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            made = cls(f"http://127.0.0.1:{listening.getsockname()[1]}", path)
            server = uvicorn.Server(
                uvicorn.Config(made._app(), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
            )
            task = asyncio.create_task(server._serve(sockets=[listening]))
            try:
                yield made
            finally:
                server.should_exit = True
                await task

    def _app(self) -> Starlette:
        top = f"/repos/{OWNER}/{NAME}"
        return Starlette(
            routes=[
                Route(f"{top}/pulls", self._pulls, methods=["GET", "POST"]),
                Route(top + "/pulls/{number:int}", self._pull, methods=["GET", "PATCH"]),
                Route(top + "/pulls/{number:int}/merge", self._merge, methods=["PUT"]),
                Route(top + "/statuses/{sha}", self._status, methods=["POST"]),
                Route(top + "/issues/{number:int}/comments", self._comment, methods=["POST"]),
                Route(f"{top}/actions/runs", self._runs, methods=["GET"]),
                Route(f"/{OWNER}/{NAME}.git/{{path:path}}", self._git, methods=["GET", "POST"]),
                Route("/{path:path}", self._missing, methods=["GET", "POST", "PATCH", "PUT"]),
            ]
        )

    async def _missing(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse({"message": "Not Found"}, 404)

    def _refused(self, request: Request, right: str | None = None) -> Response | None:
        """What keeps a request from being answered, if anything."""
        given = request.headers.get("authorization", "")
        self.authorizations.append(given)
        if self.is_away:
            return JSONResponse({"message": "Service Unavailable"}, 503)
        if self.failures:
            status = self.failures.pop(0)
            limited = {"x-ratelimit-remaining": "0", "retry-after": "0"} if status == 429 else {}
            return JSONResponse({"message": "scripted"}, status, headers=limited)
        if self.odd:
            return JSONResponse(self.odd.pop(0), self.odd_status)
        if given.partition(" ")[2] != TOKEN:
            return JSONResponse({"message": "Bad credentials"}, 401)
        if right and right not in self.rights:
            return JSONResponse({"message": "Resource not accessible by personal access token"}, 403)
        return None

    async def _body(self, request: Request, model: type[BaseModel]) -> dict[str, Any]:
        """The request's body, as GitHub's description of the API says it must be.

        Raises:
            ValidationError: it is not.
        """
        body: dict[str, Any] = await request.json()
        model.model_validate(body)
        if unknown := set(body) - set(model.model_fields):
            raise ValueError(f"no such field: {unknown}")
        return body

    async def _pulls(self, request: Request) -> Response:
        if refused := self._refused(request, "pull_requests"):
            return refused
        if request.method == "GET":
            owner, _, branch = request.query_params.get("head", "").partition(":")
            wanted = request.query_params.get("state", "open")
            rows = [
                row for row in self.pulls.values()
                if row["state"] == wanted and row["head"]["ref"] == branch and owner == OWNER
            ]  # fmt: skip
            return JSONResponse([self._told(row) for row in rows])
        try:
            body = await self._body(request, models.ReposOwnerRepoPullsPostBody)
        except (ValidationError, ValueError) as error:
            return JSONResponse({"message": str(error)}, 422)
        if body["head"] not in self.branches:
            return JSONResponse({"message": "Validation Failed", "errors": [{"message": "head is no branch"}]}, 422)
        number = len(self.pulls) + 1
        self.pulls[number] = {
            "number": number,
            "html_url": f"{self.url}/{OWNER}/{NAME}/pull/{number}",
            "state": "open",
            "merged": False,
            "merge_commit_sha": None,
            "title": body["title"],
            "body": body["body"],
            "head": {"ref": body["head"], "sha": ""},
            "base": {"ref": body["base"]},
        }
        return JSONResponse(self._told(self.pulls[number]), 201)

    def _told(self, row: dict[str, Any]) -> dict[str, Any]:
        repository = pygit2.Repository(str(self.path))
        name = f"refs/heads/{row['head']['ref']}"
        if name in repository.references:
            row["head"]["sha"] = str(repository.references[name].target)
        return row

    async def _pull(self, request: Request) -> Response:
        if refused := self._refused(request, "pull_requests"):
            return refused
        row = self.pulls.get(request.path_params["number"])
        if row is None:
            return JSONResponse({"message": "Not Found"}, 404)
        if request.method == "PATCH":
            try:
                row |= await self._body(request, models.ReposOwnerRepoPullsPullNumberPatchBody)
            except (ValidationError, ValueError) as error:
                return JSONResponse({"message": str(error)}, 422)
        return JSONResponse(self._told(row) | {"mergeable_state": await self._mergeable(row)})

    async def _mergeable(self, row: dict[str, Any]) -> str:
        if self.is_protected:
            return "blocked"
        repository = pygit2.Repository(str(self.path))
        if row["state"] != "open":
            return "unknown"
        index = repository.merge_commits(pygit2.Oid(hex=self.main), pygit2.Oid(hex=row["head"]["sha"]))
        return "clean" if index.conflicts is None else "dirty"

    async def _merge(self, request: Request) -> Response:
        if refused := self._refused(request, "contents"):
            return refused
        row = self._told(self.pulls[request.path_params["number"]])
        try:
            body = await self._body(request, models.ReposOwnerRepoPullsPullNumberMergePutBody)
        except (ValidationError, ValueError) as error:
            return JSONResponse({"message": str(error)}, 422)
        if body["sha"] != row["head"]["sha"]:
            return JSONResponse({"message": "Head branch was modified. Review and try the merge again."}, 409)
        if row["merged"]:
            return JSONResponse({"message": "Pull Request is not mergeable"}, 405)
        if self.is_protected:
            return JSONResponse({"message": "At least 1 approving review is required"}, 405)
        if self.before_merging is not None:
            self.before_merging()
        try:
            made = await BareRepository(self.path).merge(body["sha"], body["commit_title"])
        except errors.GitError:
            return JSONResponse({"message": "Pull Request is not mergeable"}, 405)
        row |= {"state": "closed", "merged": True, "merge_commit_sha": made}
        if self.lost:
            status, *self.failures = self.lost
            self.lost = []
            return JSONResponse({"message": "lost"}, status)
        return JSONResponse({"sha": made, "merged": True, "message": "Pull Request successfully merged"})

    async def _status(self, request: Request) -> Response:
        if refused := self._refused(request, "statuses"):
            return refused
        try:
            body = await self._body(request, models.ReposOwnerRepoStatusesShaPostBody)
        except (ValidationError, ValueError) as error:
            return JSONResponse({"message": str(error)}, 422)
        self.statuses.append((request.path_params["sha"], body["context"], body["state"]))
        return JSONResponse({"state": body["state"]}, 201)

    async def _comment(self, request: Request) -> Response:
        if refused := self._refused(request, "pull_requests"):
            return refused
        try:
            body = await self._body(request, models.ReposOwnerRepoIssuesIssueNumberCommentsPostBody)
        except (ValidationError, ValueError) as error:
            return JSONResponse({"message": str(error)}, 422)
        self.comments.append((request.path_params["number"], body["body"]))
        return JSONResponse({"body": body["body"]}, 201)

    async def _runs(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        wanted = request.query_params.get("head_sha")
        found = [run for run in self.runs if run["head_sha"] == wanted]
        return JSONResponse({"total_count": len(found), "workflow_runs": found})

    async def _git(self, request: Request) -> Response:
        """What git's own server program answers."""
        if self.is_away:
            return Response(status_code=503)
        given = request.headers.get("authorization", "")
        self.authorizations.append(given)
        expected = "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        if given != expected:
            return Response(status_code=401, headers={"www-authenticate": 'Basic realm="GitHub"'})
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.path.parent.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": request.url.path,
            "QUERY_STRING": request.url.query,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            "REMOTE_USER": "x-access-token",
        }
        body = await request.body()
        done = await asyncio.to_thread(
            subprocess.run, ["git", "http-backend"], input=body, env=environment, capture_output=True, check=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return Response(content, status, headers=headers)
