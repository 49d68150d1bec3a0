"""The remote of somebody who hosts at home: a bare repository in a folder."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2
from pygit2.enums import SortMode

from persais_core import errors
from persais_core.git import commits
from persais_core.git.remote import MAIN, REMOTE


class BareRepository:
    """One bare repository.

    Args:
        path: its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create_from(self, project: Path) -> None:
        """Make it, hold the project's main in it, and make it a remote of the project. Blocks; may be repeated."""
        if not (self.path / "HEAD").exists():
            fresh = self.path.with_name(self.path.name + ".new")
            shutil.rmtree(fresh, ignore_errors=True)
            pygit2.init_repository(str(fresh), bare=True, initial_head="main")
            fresh.rename(self.path)
        repo = pygit2.Repository(str(project))
        if REMOTE not in {remote.name for remote in repo.remotes}:
            repo.remotes.create(REMOTE, str(self.path))
        elif repo.remotes[REMOTE].url != str(self.path):
            repo.remotes.set_url(REMOTE, str(self.path))
        if MAIN not in pygit2.Repository(str(self.path)).references:
            repo.remotes[REMOTE].push([f"{MAIN}:{MAIN}"])

    async def merge(self, head: str, message: str) -> str:
        """Merge a commit into main and return the merge commit; the same again when it is merged already.

        Raises:
            GitError: main has moved on in a way that conflicts; main is as it was.
        """
        return await asyncio.to_thread(self._merge, head, message)

    def _merge(self, head: str, message: str) -> str:
        try:
            repo = pygit2.Repository(str(self.path))
            with _file_lock(self.path / "persais.lock"):
                commits.unlock([self.path / f"{MAIN}.lock"])
                ours = repo[repo.references[MAIN].target].peel(pygit2.Commit)
                theirs = repo[head].peel(pygit2.Commit)
                if repo.merge_base(ours.id, theirs.id) == theirs.id:
                    return _merge_of(repo, ours, theirs)
                tree = commits.merged(repo, str(ours.id), head)
                made = repo.create_commit(None, *commits.signatures(), message, tree, [ours.id, theirs.id])
                repo.references[MAIN].set_target(made)
                return str(made)
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise errors.GitError(f"git: {error}") from error

    async def merged(self, head: str) -> str | None:
        """The commit through which another one came into main; None: it is not there."""

        def work() -> str | None:
            try:
                repo = pygit2.Repository(str(self.path))
                main = repo[repo.references[MAIN].target].peel(pygit2.Commit)
                theirs = repo[head].peel(pygit2.Commit)
                return _merge_of(repo, main, theirs) if repo.merge_base(main.id, theirs.id) == theirs.id else None
            except (pygit2.GitError, KeyError, ValueError) as error:
                raise errors.GitError(f"git: {error}") from error

        return await asyncio.to_thread(work)

    async def revert(self, merge: str, message: str) -> str:
        """Take a merge commit of main back by a new commit.

        Raises:
            GitError: later commits touch the same lines; main is as it was.
        """

        def work() -> str:
            try:
                repo = pygit2.Repository(str(self.path))
                with _file_lock(self.path / "persais.lock"):
                    commits.unlock([self.path / f"{MAIN}.lock"])
                    made = commits.undo(repo, str(repo.references[MAIN].target), merge, message)
                    repo.references[MAIN].set_target(made)
                    return made
            except (pygit2.GitError, KeyError, ValueError, IndexError) as error:
                raise errors.GitError(f"git: {error}") from error

        return await asyncio.to_thread(work)

    def diff(self, base: str, head: str) -> str:
        """The change from the common ancestor of two commits to the second, as a unified diff. Blocks."""
        try:
            repo = pygit2.Repository(str(self.path))
            ancestor = repo.merge_base(pygit2.Oid(hex=base), pygit2.Oid(hex=head))
            return str(
                repo[ancestor or base].peel(pygit2.Tree).diff_to_tree(repo[head].peel(pygit2.Tree), swap=False).patch
                or ""
            )
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise errors.GitError(f"git: {error}") from error


def _merge_of(repo: pygit2.Repository, main: pygit2.Commit, head: pygit2.Commit) -> str:
    """The merge commit through which `head` came into main; `head` itself when it was a fast-forward."""
    for commit in repo.walk(main.id, SortMode.TOPOLOGICAL):
        if head.id in commit.parent_ids[1:]:
            return str(commit.id)
    return str(head.id)


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
