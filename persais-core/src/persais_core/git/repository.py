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
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import pygit2
from pygit2.enums import FileMode, SortMode

from persais_core import errors
from persais_core.domain.chats import Value

T = TypeVar("T")

REMOTE = "persais"
"""Our name for the remote; a project's own `origin` is its owner's business."""
MAIN = "refs/heads/main"
REMOTE_MAIN = "refs/remotes/persais/main"
AUTHOR = ("Persais", "persais@localhost")
MAX_FILES = 20_000
MAX_COMPARED = 10_000_000  # bytes; a larger file counts as changed without being read


class TreeFile(Value):
    """One path that differs from a base commit. `mode` is what git would store, None when deleted."""

    path: str
    status: Literal["added", "modified", "deleted"]
    mode: int | None
    size: int


class Repository:
    """One repository with a remote called persais.

    Args:
        path: its top; must itself be the project's root.

    Raises:
        ProjectError: there is no repository at `path`, or it belongs to something larger.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        # Not discovered upward: a project that lies inside another repository must never branch and commit there.
        if not (self.path / ".git").exists():
            raise errors.ProjectError(f"{self.path} is not the top of a git repository of its own; run `persais new`")
        try:
            self._repo = pygit2.Repository(str(self.path))
        except pygit2.GitError as error:
            raise errors.ProjectError(f"{self.path} is not a usable git repository: {error}") from error

    async def _do(self, work: Callable[[], T]) -> T:
        """Run blocking libgit2 work in a thread and say its failure in our words."""
        try:
            return await asyncio.to_thread(work)
        except (pygit2.GitError, KeyError, ValueError, OSError) as error:
            raise errors.GitError(f"git: {error}") from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One writer at a time, across processes; git's own lock files would only fail the second."""
        with (Path(self._repo.path) / "persais.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

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
                self._repo.remotes[REMOTE].fetch(
                    [f"+refs/heads/*:refs/remotes/{REMOTE}/*"], prune=pygit2.enums.FetchPrune.PRUNE
                )
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
            _write_tree(self._repo, self._repo[base].peel(pygit2.Tree), folder)

        await self._do(work)

    async def changed(self, base: str, folder: Path) -> tuple[TreeFile, ...]:
        """What differs between a commit and the files of a folder, ignored and untracked files included.

        Raises:
            GitError: the folder holds more than `MAX_FILES` files.
        """
        return await self._do(lambda: tuple(_changed(self._repo, base, folder)))

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
                        raise errors.GitError(f"{path} leads out of the worktree through a link; nothing was committed")
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
                made = self._repo.create_commit(None, *_signatures(), message, tree, [pygit2.Oid(hex=base)])
                reference.set_target(made)
                return str(made)

        return await self._do(work)

    async def push(self, branch: str) -> None:
        """Push a branch, also over an older push of the same branch."""

        def work() -> None:
            self._repo.remotes[REMOTE].push([f"+refs/heads/{branch}:refs/heads/{branch}"])

        await self._do(work)

    async def delete_remote_branch(self, branch: str) -> None:
        """Delete a branch of the remote; nothing happens when it is gone."""

        def work() -> None:
            remote = self._repo.remotes[REMOTE]
            if any(head.name == f"refs/heads/{branch}" for head in remote.list_heads()):
                remote.push([f":refs/heads/{branch}"])
            name = f"refs/remotes/{REMOTE}/{branch}"
            if name in self._repo.references:
                self._repo.references.delete(name)

        await self._do(work)

    async def export(self, commit: str, folder: Path) -> None:
        """Write the files of a commit into a new folder, which appears complete or not at all."""

        def work() -> None:
            if folder.exists():
                return
            fresh = folder.with_name(f"{folder.name}.{os.getpid()}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            _write_tree(self._repo, self._repo[commit].peel(pygit2.Tree), fresh)
            fresh.rename(folder)

        await self._do(work)

    async def files(self, commit: str) -> Mapping[str, str]:
        """Paths of a commit with their blob ids."""
        return await self._do(lambda: {p: str(i) for p, (i, _) in _flat(self._repo[commit].peel(pygit2.Tree)).items()})

    async def read(self, commit: str, path: str) -> str:
        """The text of one file of a commit.

        Raises:
            GitError: there is no such file.
        """

        def work() -> str:
            entry = self._repo[commit].peel(pygit2.Tree)[path]
            return self._repo[entry.id].peel(pygit2.Blob).data.decode("utf-8", "replace")

        return await self._do(work)

    async def diff(self, base: str, head: str) -> str:
        """The change from one commit to another, as a unified diff."""

        def work() -> str:
            return str(self._repo[base].peel(pygit2.Tree).diff_to_tree(self._repo[head].peel(pygit2.Tree)).patch or "")

        return await self._do(work)

    async def log(self, commit: str, limit: int = 20) -> list[tuple[str, str]]:
        """(commit, first line of its message), newest first."""

        def work() -> list[tuple[str, str]]:
            walk = self._repo.walk(pygit2.Oid(hex=commit), SortMode.TOPOLOGICAL)
            return [(str(c.id), c.message.partition("\n")[0]) for c, _ in zip(walk, range(limit), strict=False)]

        return await self._do(work)


class BareRepository:
    """The remote of somebody who hosts at home: a bare repository in a folder."""

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
                ours = repo[repo.references[MAIN].target].peel(pygit2.Commit)
                theirs = repo[head].peel(pygit2.Commit)
                if repo.merge_base(ours.id, theirs.id) == theirs.id:
                    return _merge_of(repo, ours, theirs)
                index = repo.merge_commits(ours, theirs)
                if index.conflicts is not None:
                    names = sorted({e.path for entry in index.conflicts for e in entry if e is not None})
                    raise errors.GitError(
                        f"main has changed meanwhile in {', '.join(names)}; ask for the change again",
                        key="merge-conflict",
                        paths=", ".join(names),
                    )
                tree = index.write_tree(repo)
                made = repo.create_commit(None, *_signatures(), message, tree, [ours.id, theirs.id])
                repo.references[MAIN].set_target(made)
                return str(made)
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise errors.GitError(f"git: {error}") from error

    async def revert(self, merge: str, message: str) -> str:
        """Take a merge commit of main back by a new commit.

        Raises:
            GitError: later commits touch the same lines; main is as it was.
        """

        def work() -> str:
            try:
                repo = pygit2.Repository(str(self.path))
                with _file_lock(self.path / "persais.lock"):
                    main = repo[repo.references[MAIN].target].peel(pygit2.Commit)
                    undone = repo[merge].peel(pygit2.Commit)
                    index = repo.merge_trees(undone.tree, main.tree, undone.parents[0].tree)
                    if index.conflicts is not None:
                        raise errors.GitError(
                            "later changes build on this one; take those back first", key="revert-conflict"
                        )
                    tree = index.write_tree(repo)
                    if tree == main.tree.id:
                        return str(main.id)  # taken back already
                    made = repo.create_commit(None, *_signatures(), message, tree, [main.id])
                    repo.references[MAIN].set_target(made)
                    return str(made)
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


def _signatures() -> tuple[pygit2.Signature, pygit2.Signature]:
    signature = pygit2.Signature(*AUTHOR, int(time.time()), 0)
    return signature, signature


def _worktree_name(branch: str) -> str:
    return branch.replace("/", "-")


def _flat(tree: pygit2.Tree, prefix: str = "") -> dict[str, tuple[pygit2.Oid, int]]:
    found: dict[str, tuple[pygit2.Oid, int]] = {}
    for entry in tree:
        path = f"{prefix}{entry.name}"
        if isinstance(entry, pygit2.Tree):
            found |= _flat(entry, f"{path}/")
        else:
            found[path] = (entry.id, int(entry.filemode))
    return found


def _changed(repo: pygit2.Repository, base: str, folder: Path) -> Iterator[TreeFile]:
    before = _flat(repo[base].peel(pygit2.Tree))
    seen = set()
    for number, (path, info) in enumerate(_walk(folder)):
        if number >= MAX_FILES:
            raise errors.GitError(f"the worktree holds more than {MAX_FILES} files")
        seen.add(path)
        mode = _mode(info)
        known = before.get(path)
        same_kind = known and known[1] == mode and info.st_size <= MAX_COMPARED
        if known and same_kind and str(known[0]) == _blob_id(folder / path, info):
            continue
        yield TreeFile(path=path, status="modified" if known else "added", mode=mode, size=info.st_size)
    for path in sorted(set(before) - seen):
        yield TreeFile(path=path, status="deleted", mode=None, size=0)


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            path = f"{prefix}{entry.name}"
            if path == ".git":
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _walk(folder / entry.name, f"{path}/")
            else:
                yield path, entry.stat(follow_symlinks=False)


def _mode(info: os.stat_result) -> int:
    if stat.S_ISLNK(info.st_mode):
        return int(FileMode.LINK)
    if not stat.S_ISREG(info.st_mode):
        return stat.S_IFMT(info.st_mode)
    return int(FileMode.BLOB_EXECUTABLE if info.st_mode & 0o100 else FileMode.BLOB)


def _blob_id(path: Path, info: os.stat_result) -> str:
    if not stat.S_ISREG(info.st_mode):
        content = bytes(path.readlink()) if stat.S_ISLNK(info.st_mode) else b""
    else:
        content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _write_tree(repo: pygit2.Repository, tree: pygit2.Tree, folder: Path) -> None:
    for path, (blob, mode) in _flat(tree).items():
        if mode not in (FileMode.BLOB, FileMode.BLOB_EXECUTABLE):
            continue
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(repo[blob].peel(pygit2.Blob).data)
        if mode == FileMode.BLOB_EXECUTABLE:
            target.chmod(0o755)
