"""The repository that evolves, and the right to write to its remote."""

from __future__ import annotations

import asyncio

import pygit2

from persais_core import errors, settings
from persais_core.cli.examinations import Finding, Patient, ill, look, network, well
from persais_core.git import remote
from persais_core.git.remote import Callbacks, Remote

PUSH = 1  # libgit2's direction for a connection that writes


async def examine(patient: Patient) -> list[Finding]:
    """Look at the project's repository and at its remote."""
    findings = [await asyncio.to_thread(_project, patient)]
    try:
        far = remote.configured(patient.config)
    except errors.SettingsError as error:
        return [*findings, ill("Remote", "GIT_REMOTE_URL cannot be used", str(error))]
    if far is None:
        return [*findings, well("Remote", "no GIT_REMOTE_URL; a repository in PERSAIS_HOME stands in")]
    return [*findings, *await asyncio.to_thread(_remote, far), await _forge(patient, far)]


def _project(patient: Patient) -> Finding:
    root = patient.root
    if not (root / ".git").exists():
        return look(
            "Repository",
            f"{root.name} is no git repository of its own, so `persais dev` works on a copy in PERSAIS_HOME",
            "good enough for a trial; to have it evolve itself: git init -b main && git add -A && git commit -m Start",
        )
    try:
        repo = pygit2.Repository(str(root))
    except pygit2.GitError as error:
        return ill("Repository", f"git cannot read it: {error}", "repair it, or clone it anew")
    if repo.head_is_unborn:
        return ill(
            "Repository",
            "nothing is committed",
            "commit your project on the branch main: git add -A && git commit -m Start",
        )
    if "main" not in repo.branches.local:
        return ill("Repository", "there is no branch main", "git branch -M main")
    return well("Repository", "has a branch main")


def _remote(far: Remote) -> list[Finding]:
    """Connect as if to push, which is where a token that may only read is refused."""
    folder = pygit2.Repository()
    anonymous = folder.remotes.create_anonymous(far.url)
    try:
        anonymous.connect(callbacks=Callbacks(far), direction=PUSH)
        heads = {head.name for head in anonymous.list_heads(callbacks=Callbacks(far), connect=False)}
    except (errors.GitError, pygit2.GitError) as error:
        return [
            ill(
                "Remote",
                f"cannot be pushed to: {error}",
                "check the network, GIT_REMOTE_URL, and that GITHUB_TOKEN may write the repository's contents",
            )
        ]
    if heads and "refs/heads/main" not in heads:
        return [ill("Remote", "has no branch main", "push your project there: git push <address> HEAD:main")]
    return [well("Remote", "can be pushed to" if heads else "is empty; the first start pushes the project there")]


async def _forge(patient: Patient, far: Remote) -> Finding:
    """Whether pull requests can be read with the token."""
    import httpx

    owner, name = far.name
    token = far.token.get_secret_value() if far.token else ""
    try:
        async with httpx.AsyncClient(timeout=15, headers={"Authorization": f"Bearer {token}"}) as client:
            answer = await client.get(f"{patient.config.github_api_url}/repos/{owner}/{name}/pulls")
    except httpx.HTTPError as error:
        url, usual = patient.config.github_api_url, settings.GITHUB_API_URL
        return ill("GitHub", f"{url} {network.trouble(error)}", network.advice("GITHUB_API_URL", is_set=url != usual))
    if answer.status_code == 200:
        return well("GitHub", f"shows the pull requests of {owner}/{name}")
    said = {401: "refuses GITHUB_TOKEN", 404: f"has no {owner}/{name}, or GITHUB_TOKEN may not see it"}
    advice = "give GITHUB_TOKEN contents, pull requests and commit statuses of this repository, read and write"
    return ill("GitHub", said.get(answer.status_code, f"answers {answer.status_code} about {owner}/{name}"), advice)
