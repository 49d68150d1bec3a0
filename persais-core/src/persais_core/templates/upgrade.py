"""Takes a project to the templates of a newer framework without losing a line of its owner's.

The project as it was rendered is a commit of its own (`refs/persais/template`); what the new templates render becomes
the next one, and git merges it like any branch. So whatever the owner changed stays, what only the templates changed is
taken over, and where both did, git shows both. What was made for the owner, `bot/` and `tests/`, is never part of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygit2
import yaml
from pygit2.enums import CheckoutStrategy, FileMode, RepositoryState, SortMode

import persais_core
from persais_core import errors
from persais_core.git.remote import REMOTE_MAIN
from persais_core.templates import projects

PRISTINE = "refs/persais/template"
"""The project as rendered last."""
ANSWERS = ".copier-answers.yml"
OWN = ("bot", "tests")


@dataclass(frozen=True)
class Upgrade:
    """What became of an upgrade.

    Args:
        branch: where it lies; None where there was nothing to do.
        added: paths that are new.
        changed: paths that differ.
        removed: paths that are gone.
        conflicts: paths in which both sides stand, to be decided by the owner.
    """

    branch: str | None = None
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


def upgrade(root: Path, *, skeleton: Path = projects.SKELETON, version: str = persais_core.__version__) -> Upgrade:
    """Merge today's templates into a project, on a branch of its own that is then checked out. Blocks.

    Args:
        root: top of the project's repository.
        skeleton: today's templates.
        version: of the framework they belong to.

    Raises:
        ProjectError: the project cannot be upgraded as it is; nothing was changed.
    """
    repo = _opened(root)
    ours = _newest(repo)
    base = _base(repo, ours)
    with tempfile.TemporaryDirectory(prefix="persais-upgrade-") as folder:
        projects.render(Path(folder), **_answers(repo, ours), skeleton=skeleton, version=version)
        tree = _tree(repo, base, Path(folder))
    if tree == base.tree.id:
        return Upgrade()
    branch = f"upgrade/persais-{version}"
    if f"refs/heads/{branch}" in repo.references:
        raise errors.ProjectError(
            f"an upgrade was begun and not finished: merge the branch {branch}, or delete it (git branch -D {branch}), "
            "and try again"
        )
    who = pygit2.Signature("Persais", "persais@localhost")
    message = f"The templates of Persais {version}"
    theirs = repo.create_commit(None, who, who, message, tree, [base.id])
    done = _merged(repo, ours, theirs, branch, f"Upgrade to Persais {version}")
    repo.references.create(PRISTINE, theirs, force=True)
    return done


def _opened(root: Path) -> pygit2.Repository:
    if not (root / ".git").exists():
        raise errors.ProjectError(f"{root} is no git repository; make it one and commit first, so nothing can be lost")
    try:
        repo = pygit2.Repository(str(root))
    except pygit2.GitError as error:
        raise errors.ProjectError(f"{root} is not a usable git repository: {error}") from error
    if repo.state() != RepositoryState.NONE:
        raise errors.ProjectError("a merge or another operation of git is going on here; finish or abort it first")
    if repo.head_is_unborn:
        raise errors.ProjectError("nothing is committed here yet; commit your project first")
    if repo.head_is_detached:
        raise errors.ProjectError("no branch is checked out (detached HEAD); check one out first: git switch main")
    if changed := [path for path, flags in repo.status().items() if flags != pygit2.enums.FileStatus.IGNORED]:
        named, more = ", ".join(sorted(changed)[:3]), len(changed) - 3
        which = f"{named} and {more} more" if more > 0 else named
        raise errors.ProjectError(f"there are changes that are not committed ({which}); commit or stash them first")
    return repo


def _newest(repo: pygit2.Repository) -> pygit2.Commit:
    """What is checked out, or what the bot has become since, where that holds it."""
    head = repo.head.peel(pygit2.Commit)
    if REMOTE_MAIN not in repo.references:
        return head
    evolved = repo.references[REMOTE_MAIN].peel(pygit2.Commit)
    base = repo.merge_base(head.id, evolved.id)
    if base == evolved.id:
        return head
    if base != head.id:
        raise errors.ProjectError(
            "this branch and what the bot has become (persais/main) have gone different ways; bring them together "
            "first: git merge persais/main"
        )
    return evolved


def _base(repo: pygit2.Repository, ours: pygit2.Commit) -> pygit2.Commit:
    """The last rendering that the project holds: the noted one, or in a clone the commit it began with."""
    if PRISTINE in repo.references:
        known = repo.references[PRISTINE].peel(pygit2.Commit)
        while known.parents and repo.merge_base(known.id, ours.id) != known.id:
            known = known.parents[0]  # an upgrade that was thrown away
        return known
    for commit in repo.walk(ours.id, SortMode.TOPOLOGICAL | SortMode.REVERSE):
        if ANSWERS in commit.tree:
            return commit
    raise errors.ProjectError(f"this project was not made by `persais new`: {ANSWERS} was never in it")


def _answers(repo: pygit2.Repository, ours: pygit2.Commit) -> dict[str, Any]:
    """What the project was made with, as `projects.render` takes it."""
    try:
        found = yaml.safe_load(repo[ours.tree[ANSWERS].id].peel(pygit2.Blob).data)
        return {"name": found["name"], "language": found["language"], "owner_id": int(found["owner_id"])}
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise errors.ProjectError(f"{ANSWERS} cannot be read; restore it from git and try again") from error


def _tree(repo: pygit2.Repository, base: pygit2.Commit, folder: Path) -> pygit2.Oid:
    """The tree of what was rendered, with the owner's part as it was in the last rendering."""
    index = pygit2.Index()
    for name in OWN:
        if name in base.tree:
            for path, entry in _files(repo[base.tree[name].id].peel(pygit2.Tree), f"{name}/"):
                index.add(pygit2.IndexEntry(path, entry.id, FileMode(entry.filemode)))
    for file in sorted(folder.rglob("*")):
        place = file.relative_to(folder)
        if file.is_file() and place.parts[0] not in OWN and place.name != ".env":
            index.add(pygit2.IndexEntry(place.as_posix(), repo.create_blob(file.read_bytes()), FileMode.BLOB))
    return index.write_tree(repo)


def _files(tree: pygit2.Tree, prefix: str) -> Iterator[tuple[str, pygit2.Object]]:
    for entry in tree:
        if isinstance(entry, pygit2.Tree):
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def _merged(repo: pygit2.Repository, ours: pygit2.Commit, theirs: pygit2.Oid, branch: str, message: str) -> Upgrade:
    """Merge on a new branch: committed where all went well, else left as git leaves a merge with conflicts."""
    repo.branches.local.create(branch, ours)
    repo.checkout(f"refs/heads/{branch}", strategy=CheckoutStrategy.SAFE)
    repo.merge(theirs)
    before = ours.tree
    conflicts = tuple(sorted({side.path for sides in repo.index.conflicts or () for side in sides if side is not None}))
    if not conflicts:
        who = pygit2.Signature("Persais", "persais@localhost")
        tree = repo.index.write_tree()
        repo.create_commit(f"refs/heads/{branch}", who, who, message, tree, [ours.id, theirs])
        repo.state_cleanup()
        delta = before.diff_to_tree(repo[tree].peel(pygit2.Tree))
    else:
        delta = repo.diff(ours, cached=True)
    kinds: dict[str, list[str]] = {"A": [], "M": [], "D": []}
    for patch in delta.deltas:
        if patch.new_file.path not in conflicts:
            kinds.setdefault(patch.status_char(), []).append(patch.new_file.path)
    return Upgrade(branch, tuple(kinds["A"]), tuple(kinds["M"]), tuple(kinds["D"]), conflicts)
