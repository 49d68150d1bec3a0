"""Repositories that a test fills, as somebody does who commits by hand."""

from __future__ import annotations

from pathlib import Path

import pygit2

ME = pygit2.Signature("Ann", "ann@localhost", 1, 0)


def commit_all(project: Path, files: dict[str, str], message: str = "First\n\nbody") -> str:
    """Write some files, and commit all there is on main; a folder that is no repository becomes one.

    Returns:
        The commit.
    """
    repo = pygit2.Repository(str(project)) if (project / ".git").exists() else None
    repo = repo or pygit2.init_repository(str(project), initial_head="main")
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    repo.index.add_all()
    repo.index.write()
    parents = [] if repo.head_is_unborn else [repo.head.target]
    return str(repo.create_commit("refs/heads/main", ME, ME, message, repo.index.write_tree(), parents))
