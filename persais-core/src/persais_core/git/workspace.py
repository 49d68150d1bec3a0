"""The repository that evolves, where its remote is a host of git repositories.

On a server it is a clone, made at the first need and thrown away with the machine. On a computer at home it is the
project's own repository, which may have evolved for a while with a remote in a folder before it got a real one: what it
has become there is brought along.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import time
from pathlib import Path

import pygit2

from persais_core import errors
from persais_core.git.remote import MAIN, REMOTE, REMOTE_MAIN, Callbacks, Remote

STALE = 60.0  # seconds; no writing of ours holds one of libgit2's locks for as long


def clone(folder: Path, far: Remote) -> None:
    """Have a clone in a folder. Blocks; may be repeated.

    One that is there is kept where it can be used, after the locks that a killed process left were removed; else it is
    made anew, as everything worth keeping is at the remote.

    Raises:
        GitError: the remote cannot be read.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    # One at a time, across processes: several jobs need it at once when a machine is new, and whoever came second
    # would take away what the first one works in already.
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _clone(folder, far)


def _clone(folder: Path, far: Remote) -> None:
    if (folder / ".git").exists():
        with contextlib.suppress(pygit2.GitError, KeyError):
            known = pygit2.Repository(str(folder))
            _unlock(Path(known.path))
            if known.remotes[REMOTE].url == far.url:
                return
        shutil.rmtree(folder)
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        repo = pygit2.init_repository(str(fresh), initial_head="main")
        repo.remotes.create(REMOTE, far.url)
        repo.remotes[REMOTE].fetch([f"+refs/heads/*:refs/remotes/{REMOTE}/*"], callbacks=Callbacks(far))
        if REMOTE_MAIN not in repo.references:
            raise errors.GitError(
                f"{far.url} has no branch main yet; push your project there first: git push {far.url} HEAD:main",
                key="git-unborn",
                url=far.url,
            )
        repo.references.create(MAIN, repo.references[REMOTE_MAIN].target)
        repo.checkout("HEAD")
    except (pygit2.GitError, KeyError, ValueError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise errors.GitError(
            f"{far.url} cannot be cloned: {error}", key="git-uncloned", url=far.url, cause=str(error)
        ) from error
    except errors.GitError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def connect(project: Path, far: Remote) -> None:
    """Make a remote the one of a project, and bring there what the project has become so far. Blocks; may be repeated.

    Raises:
        GitError: the remote cannot be reached, or its main and the project's have gone different ways.
    """
    try:
        repo = pygit2.Repository(str(project))
        _unlock(Path(repo.path))
        name = REMOTE_MAIN if REMOTE_MAIN in repo.references else MAIN
        ours = repo.references[name].target
        known = {remote.name for remote in repo.remotes}
        if REMOTE not in known:
            repo.remotes.create(REMOTE, far.url)
        elif repo.remotes[REMOTE].url == far.url:
            return
        else:
            repo.remotes.set_url(REMOTE, far.url)
        try:
            _join(repo, far, str(ours))
        except BaseException:
            # The next start must find it undone, or it would take the half for the whole.
            repo.remotes.delete(REMOTE)
            if name == REMOTE_MAIN:
                repo.references.create(REMOTE_MAIN, ours, force=True)
            raise
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise errors.GitError(
            f"{far.url} cannot be used: {error}", key="git-unusable", place=far.url, cause=str(error)
        ) from error


def _join(repo: pygit2.Repository, far: Remote, ours: str) -> None:
    # Looked up anew for each step: one that has connected to read does not push.
    heads = {head.name: str(head.oid) for head in repo.remotes[REMOTE].list_heads(callbacks=Callbacks(far))}
    theirs = heads.get(MAIN)
    if theirs is not None:
        repo.remotes[REMOTE].fetch([f"+{MAIN}:{REMOTE_MAIN}"], callbacks=Callbacks(far))
        base = repo.merge_base(pygit2.Oid(hex=ours), pygit2.Oid(hex=theirs))
        if str(base) == ours:
            return
        if str(base) != theirs:
            raise errors.GitError(
                f"main at {far.url} and this project's have gone different ways; bring them together with git, or give "
                "GIT_REMOTE_URL an empty repository",
                key="git-apart",
                url=far.url,
            )
    callbacks = Callbacks(far)
    repo.remotes[REMOTE].push([f"{ours}:{MAIN}"], callbacks=callbacks)
    if callbacks.refused:
        raise errors.GitError(
            f"{far.url} does not take main ({callbacks.refused})", key="git-push-refused", cause=callbacks.refused
        )
    repo.references.create(REMOTE_MAIN, pygit2.Oid(hex=ours), force=True)


def _unlock(git: Path) -> None:
    """Remove the locks of a process that was killed; a living one is done with its own within moments."""
    for lock in (*git.glob("*.lock"), *git.glob("refs/**/*.lock")):
        with contextlib.suppress(OSError):
            if lock.name != "persais.lock" and time.time() - lock.stat().st_mtime > STALE:
                lock.unlink()
