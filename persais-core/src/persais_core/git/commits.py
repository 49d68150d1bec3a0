"""Making commits: who makes them, and the one that takes a merge back."""

from __future__ import annotations

import time

import pygit2

from persais_core import errors

AUTHOR = ("Persais", "persais@localhost")


def signatures() -> tuple[pygit2.Signature, pygit2.Signature]:
    """Author and committer of what the bot commits, now."""
    signature = pygit2.Signature(*AUTHOR, int(time.time()), 0)
    return signature, signature


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
