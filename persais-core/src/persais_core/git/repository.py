"""The bot's own repository, its worktrees and its remote.

All of it is libgit2, which runs no hooks, filters, credential helpers or fsmonitor. A worktree is judged and committed
by reading its files, never by opening it as a repository: its `.git` file and its attributes are the candidate's to
write, so nothing here believes them.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pygit2
from pygit2.enums import FileMode, SortMode

from persais_core import errors
from persais_core.git import commits, trees
from persais_core.git.remote import MAIN, REMOTE, REMOTE_MAIN, Callbacks, Remote
from persais_core.git.trees import TreeFile

T = TypeVar("T")

COMMIT = re.compile(r"[0-9a-f]{7,40}\Z")


class Repository:
    """One repository with a remote called persais.

    Args:
        path: its top; must itself be the project's root.
        far: what is known of the remote besides its address; None for one in a folder of this computer.

    Raises:
        ProjectError: there is no repository at `path`, or it belongs to something larger.
    """

    def __init__(self, path: Path, far: Remote | None = None) -> None:
        self.path, self._far = path.resolve(), far
        # Not discovered upward: a project that lies inside another repository must never branch and commit there.
        if not (self.path / ".git").exists():
            raise errors.ProjectError(
                f"{self.path} is not the top of a git repository of its own; run `persais new`",
                key="git-no-repository",
                path=str(self.path),
            )
        try:
            self._repo = pygit2.Repository(str(self.path))
        except pygit2.GitError as error:
            raise errors.ProjectError(
                f"{self.path} is not a usable git repository: {error}",
                key="git-unusable",
                place=str(self.path),
                cause=str(error),
            ) from error

    async def _do(self, work: Callable[[], T]) -> T:
        """Run blocking libgit2 work in a thread and say its failure in our words."""
        try:
            return await asyncio.to_thread(work)
        except (pygit2.GitError, KeyError, ValueError, IndexError, OSError) as error:
            raise errors.GitError(f"git: {error}") from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One writer at a time, across processes; git's own lock files would only fail the second."""
        with (Path(self._repo.path) / "persais.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            references = Path(self._repo.path) / "refs"
            for place in (f"remotes/{REMOTE}", "heads/feat"):
                commits.unlock((references / place).rglob("*.lock"))
            yield

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Speak with the remote; what fails there may go well later."""
        try:
            yield
        except pygit2.GitError as error:
            raise errors.GitUnavailableError(f"git: {error}") from error

    async def remote(self) -> str:
        """Where the remote is.

        Raises:
            GitError: there is no remote called persais.
        """
        return await self._do(lambda: str(self._repo.remotes[REMOTE].url))

    async def head(self) -> str:
        """The commit that is checked out."""
        return await self._do(lambda: str(self._repo.head.target))

    async def main(self) -> str:
        """The commit that the remote's main points to, fetched now; 40 hex digits."""

        def work() -> str:
            with self._lock():
                with self._reaching():
                    self._repo.remotes[REMOTE].fetch(
                        [f"+refs/heads/*:refs/remotes/{REMOTE}/*"],
                        prune=pygit2.enums.FetchPrune.PRUNE,
                        callbacks=Callbacks(self._far),
                    )
                if REMOTE_MAIN not in self._repo.references:
                    raise errors.GitError("the remote repository has no branch main", key="git-no-main")
                return str(self._repo.references[REMOTE_MAIN].target)

        return await self._do(work)

    async def next_branch(self, slug: str, used: Iterable[str] = ()) -> str:
        """The next `feat/<slug>-v<n>` that is neither here, nor on the remote, nor among those used before."""

        def work() -> str:
            names = [*self._repo.references, *(f"/{branch}" for branch in used)]
            taken = {name.rpartition("/feat/")[2] for name in names if "/feat/" in name}
            pattern = re.compile(rf"{re.escape(slug)}-v(\d+)\Z")
            numbers = [int(match[1]) for name in taken if (match := pattern.match(name))]
            return f"feat/{slug}-v{max(numbers, default=0) + 1}"

        return await self._do(work)

    async def add_worktree(self, branch: str, base: str, folder: Path) -> None:
        """Make a branch at a commit and check it out in a folder of its own; an older try at the same is replaced."""

        def work() -> None:
            with self._lock():
                self._remove_worktree(branch, folder)
                commit = self._repo[base].peel(pygit2.Commit)
                reference = self._repo.references.create(f"refs/heads/{branch}", commit.id, force=True)
                folder.parent.mkdir(parents=True, exist_ok=True)
                self._repo.add_worktree(_worktree_name(branch), str(folder), reference)

        await self._do(work)

    async def remove_worktree(self, branch: str, folder: Path, *, keep_branch: bool = False) -> None:
        """Remove a worktree and, unless kept, its branch; nothing that is gone already is missed."""

        def work() -> None:
            with self._lock():
                self._remove_worktree(branch, folder)
                if not keep_branch and f"refs/heads/{branch}" in self._repo.references:
                    self._repo.references.delete(f"refs/heads/{branch}")

        await self._do(work)

    def _remove_worktree(self, branch: str, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        name = _worktree_name(branch)
        if name in self._repo.list_worktrees():
            self._repo.lookup_worktree(name).prune(True)

    async def reset(self, base: str, folder: Path) -> None:
        """Make the files of a worktree equal to a commit again, whatever lies there."""

        def work() -> None:
            for entry in folder.iterdir():
                if entry.name == ".git":
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
            trees.write(self._repo, self._repo[base].peel(pygit2.Tree), folder)

        await self._do(work)

    async def changed(self, base: str, folder: Path) -> tuple[TreeFile, ...]:
        """What differs between a commit and the files of a folder, ignored and untracked files included.

        Raises:
            GitError: the folder holds more than `MAX_FILES` files.
        """
        return await self._do(lambda: tuple(trees.changed(self._repo, base, folder)))

    async def fingerprint(self, folder: Path, paths: Iterable[str]) -> str:
        """What the named files of a folder hold, as one digest; a missing or special file counts as such."""

        def work() -> str:
            digest = hashlib.sha256()
            for path in sorted(paths):
                file = folder / path
                plain = file.is_file() and not file.is_symlink()
                content = hashlib.sha256(file.read_bytes()).hexdigest() if plain else "none"
                digest.update(f"{path}\0{content}\n".encode())
            return digest.hexdigest()

        return await self._do(work)

    async def commit(self, branch: str, base: str, folder: Path, paths: tuple[str, ...], message: str) -> str:
        """Commit the named paths of a worktree on its branch, on top of `base`.

        Returns:
            The new commit; the same one again when the branch has it already.

        Raises:
            GitError: a folder on the way to a path is a link, so the file is another one than it seems.
        """

        def work() -> str:
            with self._lock():
                index = pygit2.Index()
                index.read_tree(self._repo[base].peel(pygit2.Tree))
                top = folder.resolve()
                for path in paths:
                    file = folder / path
                    if file.parent.resolve() != (top / path).parent:
                        raise errors.GitError(
                            f"{path} leads out of the worktree through a link; nothing was committed",
                            key="git-link",
                            path=path,
                        )
                    if file.is_file() and not file.is_symlink():
                        blob = self._repo.create_blob(file.read_bytes())
                        index.add(pygit2.IndexEntry(path, blob, FileMode.BLOB))
                    elif path in index:
                        index.remove(path)
                tree = index.write_tree(self._repo)
                reference = self._repo.references[f"refs/heads/{branch}"]
                head = self._repo[reference.target].peel(pygit2.Commit)
                if head.tree.id == tree and str(head.id) != base:
                    return str(head.id)
                made = self._repo.create_commit(None, *commits.signatures(), message, tree, [pygit2.Oid(hex=base)])
                reference.set_target(made)
                return str(made)

        return await self._do(work)

    async def push(self, branch: str) -> None:
        """Push a branch, also over an older push of the same branch.

        Raises:
            GitError: the remote does not take it.
        """
        await self._do(lambda: self._push(f"+refs/heads/{branch}:refs/heads/{branch}"))

    def _push(self, refspec: str) -> None:
        callbacks = Callbacks(self._far)
        with self._reaching():
            self._repo.remotes[REMOTE].push([refspec], callbacks=callbacks)
        if callbacks.refused:
            raise errors.GitError(
                f"the remote repository does not take the push ({callbacks.refused})",
                key="git-push-refused",
                cause=callbacks.refused,
            )

    async def delete_remote_branch(self, branch: str) -> None:
        """Delete a branch of the remote; nothing happens when it is gone."""

        def work() -> None:
            with self._reaching():
                heads = self._repo.remotes[REMOTE].list_heads(callbacks=Callbacks(self._far))
            if any(head.name == f"refs/heads/{branch}" for head in heads):
                self._push(f":refs/heads/{branch}")
            name = f"refs/remotes/{REMOTE}/{branch}"
            if name in self._repo.references:
                self._repo.references.delete(name)

        await self._do(work)

    async def holds(self, commit: str, other: str) -> bool:
        """Whether a commit is another one or has it among its ancestors."""
        return await self._do(
            lambda: commit == other or self._repo.descendant_of(pygit2.Oid(hex=commit), pygit2.Oid(hex=other))
        )

    async def revert(self, merge: str, message: str) -> str:
        """Take a merge commit of the remote's main back by a new commit, pushed there.

        Returns:
            The new commit, or main itself when it holds nothing of the merge any more.

        Raises:
            GitError: later commits touch the same lines (its key is `revert-conflict`), or main takes no push; main is
                as it was.
            GitUnavailableError: the remote cannot be reached, or somebody was faster with main; the same may go well
                later.
        """
        main = await self.main()

        def work() -> str:
            with self._lock():
                made = commits.undo(self._repo, main, merge, message)
                if made != main:
                    # Not forced: whoever was faster with main makes this fail, and the whole may be tried again.
                    self._push(f"{made}:{MAIN}")
                return made

        return await self._do(work)

    async def tree(self, commit: str) -> str:
        """What a commit holds, as the name of its tree."""
        return await self._do(lambda: str(self._repo[commit].peel(pygit2.Tree).id))

    async def merged(self, main: str, head: str) -> str:
        """What main would hold with a commit merged into it, as the name of a tree.

        Raises:
            GitError: they conflict.
        """
        return await self._do(lambda: str(commits.merged(self._repo, main, head)))

    async def write(self, tree: str, folder: Path, *, base: str) -> tuple[TreeFile, ...]:
        """Write the files of a tree into a folder, in place of whatever lies there.

        Args:
            tree: its name, or a commit's.

        Returns:
            What differs from a base commit.
        """

        def work() -> tuple[TreeFile, ...]:
            found = self._repo[tree].peel(pygit2.Tree)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            trees.write(self._repo, found, folder)
            return tuple(trees.differing(self._repo, self._repo[base].peel(pygit2.Tree), found))

        return await self._do(work)

    async def export(self, commit: str, folder: Path) -> None:
        """Write the files of a commit into a new folder, which appears complete or not at all."""

        def work() -> None:
            if folder.exists():
                return
            fresh = folder.with_name(f"{folder.name}.{os.getpid()}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            trees.write(self._repo, self._repo[commit].peel(pygit2.Tree), fresh)
            fresh.rename(folder)

        await self._do(work)

    async def files(self, commit: str) -> Mapping[str, str]:
        """Paths of a commit with their blob ids."""
        return await self._do(
            lambda: {p: str(i) for p, (i, _) in trees.flat(self._repo[commit].peel(pygit2.Tree)).items()}
        )

    async def read(self, commit: str, path: str) -> str:
        """The text of one file of a commit.

        Raises:
            GitError: there is no such file.
        """

        def work() -> str:
            entry = self._repo[commit].peel(pygit2.Tree)[path]
            return self._repo[entry.id].peel(pygit2.Blob).data.decode("utf-8", "replace")

        return await self._do(work)

    async def branches(self) -> list[tuple[str, str, str]]:
        """(name, commit, first line of its message with the number of its change) of main and the changes, main first.

        A branch that is both here and on the remote is told once, as it is here.
        """

        def work() -> list[tuple[str, str, str]]:
            found: dict[str, str] = {}
            for start in ("refs/heads/", f"refs/remotes/{REMOTE}/"):
                for name in self._repo.references:
                    short = name.removeprefix(start)
                    if name.startswith(start) and short.startswith("feat/"):
                        found.setdefault(short, str(self._repo.references[name].target))
            named = [("main", self._main()), *sorted(found.items())]
            return [(name, commit, self._subject(commit)) for name, commit in named]

        return await self._do(work)

    async def resolve(self, name: str) -> str:
        """The commit that `main` (as the remote has it), the branch of a change, or a commit's digits stand for.

        Raises:
            GitError: there is nothing of this name.
        """

        def work() -> str:
            if name == "main":
                return self._main()
            for start in ("refs/heads/", f"refs/remotes/{REMOTE}/"):
                if f"{start}{name}" in self._repo.references:
                    return str(self._repo.references[f"{start}{name}"].target)
            if not COMMIT.match(name):
                raise errors.GitError(f"there is no branch or commit {name}")
            return str(self._repo[name].peel(pygit2.Commit).id)

        return await self._do(work)

    def _main(self) -> str:
        """Main as the remote had it when it was last fetched; one's own, where there is no remote."""
        name = REMOTE_MAIN if REMOTE_MAIN in self._repo.references else MAIN
        return str(self._repo.references[name].target)

    async def fork(self, one: str, other: str) -> str:
        """The last commit that two commits have in common; the first of them where there is none."""
        return await self._do(lambda: str(self._repo.merge_base(pygit2.Oid(hex=one), pygit2.Oid(hex=other)) or one))

    async def first_parent(self, commit: str) -> str | None:
        """The commit that another one was made on; of a merge, the one that was merged into. None for the first."""

        def work() -> str | None:
            parents = self._repo[commit].peel(pygit2.Commit).parent_ids
            return str(parents[0]) if parents else None

        return await self._do(work)

    def _subject(self, commit: str) -> str:
        return commits.headline(self._repo[commit].peel(pygit2.Commit))

    async def diff(self, base: str, head: str) -> str:
        """The change from one commit to another, as a unified diff."""

        def work() -> str:
            return str(self._repo[base].peel(pygit2.Tree).diff_to_tree(self._repo[head].peel(pygit2.Tree)).patch or "")

        return await self._do(work)

    async def log(self, commit: str, limit: int = 20) -> list[tuple[str, str]]:
        """(commit, first line of its message with the number of its change), newest first."""

        def work() -> list[tuple[str, str]]:
            walk = self._repo.walk(pygit2.Oid(hex=commit), SortMode.TOPOLOGICAL)
            return [(str(c.id), commits.headline(c)) for c, _ in zip(walk, range(limit), strict=False)]

        return await self._do(work)


def _worktree_name(branch: str) -> str:
    return branch.replace("/", "-")
