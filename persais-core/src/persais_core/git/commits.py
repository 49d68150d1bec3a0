"""Making commits: who makes them, what a merge holds, what takes it back, and what a killed maker leaves behind."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

import pygit2

from persais_core import errors

AUTHOR = ("Persais", "persais@localhost")
CHANGE = re.compile(r"^Persais-Change: (\d+)$", re.MULTILINE)
PATIENCE = 2.0  # seconds; libgit2 holds a lock for moments


def headline(commit: pygit2.Commit) -> str:
    """The first line of a commit's message, and the number of the change that it holds or has merged, where it says so.

    Only the last paragraph of a message is ours alone; people's words stand in those before it.
    """
    subject = commit.message.partition("\n")[0]
    for made in (commit, *commit.parents[1:]):
        if found := CHANGE.search(made.message.rstrip().rpartition("\n\n")[2]):
            return f"{subject} (change {found[1]})"
    return subject


def signatures() -> tuple[pygit2.Signature, pygit2.Signature]:
    """Author and committer of what the bot commits, now."""
    signature = pygit2.Signature(*AUTHOR, int(time.time()), 0)
    return signature, signature


def merged(repo: pygit2.Repository, main: str, head: str) -> pygit2.Oid:
    """The tree of main with a commit merged into it.

    Raises:
        GitError: they conflict.
    """
    index = repo.merge_commits(repo[main].peel(pygit2.Commit), repo[head].peel(pygit2.Commit))
    if index.conflicts is not None:
        names = sorted({e.path for entry in index.conflicts for e in entry if e is not None})
        raise errors.GitError(
            f"main has changed meanwhile in {', '.join(names)}; tap Retry to have it made anew on what main is now",
            key="merge-conflict",
            paths=", ".join(names),
        )
    return index.write_tree(repo)


def undo(repo: pygit2.Repository, main: str, merge: str, message: str) -> str:
    """A commit on top of main without what a merge brought; main itself when none of it is left there."""
    head = repo[main].peel(pygit2.Commit)
    undone = repo[merge].peel(pygit2.Commit)
    index = repo.merge_trees(undone.tree, head.tree, undone.parents[0].tree)
    if index.conflicts is not None:
        raise errors.GitError("later changes build on this one; take those back first", key="revert-conflict")
    tree = index.write_tree(repo)
    if tree == head.tree.id:
        return main  # taken back already
    return str(repo.create_commit(None, *signatures(), message, tree, [head.id]))


def unlock(locks: Iterable[Path]) -> None:
    """Remove libgit2's locks on references that a killed process left; one that somebody holds is waited for. Blocks.

    Args:
        locks: files of references that nobody but us writes, and we one at a time.
    """
    for lock in locks:
        until = time.monotonic() + PATIENCE
        while lock.exists() and time.monotonic() < until:
            time.sleep(0.05)
        lock.unlink(missing_ok=True)
