"""The bot's own repository: worktrees, commits, the bare remote, and what a hostile worktree cannot do."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pygit2
import pytest

from persais_core import errors
from persais_core.git.bare import BareRepository
from persais_core.git.repository import Repository
from repositories import commit_all

BRANCH = "feat/echo-v1"


@dataclass
class Place:
    """A project of its own, with its remote and a place for worktrees."""

    project: Path
    remote: BareRepository
    repository: Repository
    work: Path
    base: str


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    project = tmp_path / "my bot"
    files = {
        "bot/agents/echo.py": "ECHO = 1\n",
        "bot/agents/other.py": "OTHER = 1\n",
        "README.md": "# Bot\n",
        ".gitignore": "*.log\nsecret/\n",
        "run.sh": "#!/bin/sh\n",
    }
    commit_all(project, files)
    (project / "run.sh").chmod(0o755)
    base = commit_all(project, {})
    remote = BareRepository(tmp_path / "remote.git")
    remote.create_from(project)
    return Place(project, remote, Repository(project), tmp_path / "work" / "tree", base)


async def worktree(place: Place, branch: str = BRANCH) -> Path:
    await place.repository.add_worktree(branch, place.base, place.work)
    return place.work


async def statuses(place: Place) -> dict[str, str]:
    return {file.path: file.status for file in await place.repository.changed(place.base, place.work)}


async def propose(place: Place, path: str, text: str, branch: str = BRANCH) -> str:
    """A pushed branch that changes one file."""
    tree = await worktree(place, branch)
    (tree / path).write_text(text)
    commit = await place.repository.commit(branch, place.base, tree, (path,), f"Change {path}")
    await place.repository.push(branch)
    return commit


def main_of(place: Place) -> str:
    return str(pygit2.Repository(str(place.remote.path)).references["refs/heads/main"].target)


# --- where it may work -----------------------------------------------------------------------------------------------


def test_a_project_inside_another_repository_is_refused(tmp_path: Path) -> None:
    commit_all(tmp_path / "large", {"bot/main.py": "x\n"})
    with pytest.raises(errors.ProjectError, match="of its own"):
        Repository(tmp_path / "large" / "bot")


def test_a_folder_without_a_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ProjectError, match="persais new"):
        Repository(tmp_path)


def test_a_broken_repository_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(errors.ProjectError, match="not a usable git repository"):
        Repository(tmp_path)


async def test_main_is_what_the_remote_says(place: Place) -> None:
    assert await place.repository.main() == place.base
    assert await place.repository.remote() == str(place.remote.path)


async def test_a_remote_that_is_gone_is_a_git_error(place: Place) -> None:
    shutil.rmtree(place.remote.path)
    with pytest.raises(errors.GitError):
        await place.repository.main()


def test_making_the_remote_again_changes_nothing(place: Place) -> None:
    place.remote.create_from(place.project)
    assert main_of(place) == place.base


def test_a_remote_that_was_moved_is_found_again(place: Place, tmp_path: Path) -> None:
    moved = BareRepository(tmp_path / "elsewhere.git")
    place.remote.path.rename(moved.path)
    moved.create_from(place.project)
    assert str(pygit2.Repository(str(place.project)).remotes["persais"].url) == str(moved.path)


# --- worktrees -------------------------------------------------------------------------------------------------------


async def test_a_worktree_holds_the_files_of_its_base_and_the_project_stays_as_it_is(place: Place) -> None:
    tree = await worktree(place)
    assert (tree / "bot/agents/echo.py").read_text() == "ECHO = 1\n"
    assert await statuses(place) == {}
    assert str(pygit2.Repository(str(place.project)).head.target) == place.base


async def test_a_second_try_replaces_the_worktree(place: Place) -> None:
    tree = await worktree(place)
    (tree / "left.py").write_text("x")
    await worktree(place)
    assert await statuses(place) == {}


async def test_a_worktree_is_removed_with_its_branch_and_removing_again_is_harmless(place: Place) -> None:
    tree = await worktree(place)
    for _ in range(2):
        await place.repository.remove_worktree(BRANCH, tree)
    assert not tree.exists()
    repo = pygit2.Repository(str(place.project))
    assert f"refs/heads/{BRANCH}" not in repo.references
    assert list(repo.list_worktrees()) == []


async def test_a_branch_may_outlive_its_worktree(place: Place) -> None:
    tree = await worktree(place)
    await place.repository.remove_worktree(BRANCH, tree, keep_branch=True)
    assert f"refs/heads/{BRANCH}" in pygit2.Repository(str(place.project)).references


async def test_the_next_branch_counts_on_from_what_is_taken_here_and_on_the_remote(place: Place) -> None:
    assert await place.repository.next_branch("echo") == "feat/echo-v1"
    await propose(place, "README.md", "new\n")
    assert await place.repository.next_branch("echo") == "feat/echo-v2"
    await place.repository.remove_worktree(BRANCH, place.work)
    await place.repository.main()
    assert await place.repository.next_branch("echo") == "feat/echo-v2"
    assert await place.repository.next_branch("ech") == "feat/ech-v1"
    await worktree(place, "feat/echo-v10")
    assert await place.repository.next_branch("echo") == "feat/echo-v11"


async def test_a_reset_brings_the_base_back_whatever_lies_there(place: Place, tmp_path: Path) -> None:
    tree = await worktree(place)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    (tree / "bot" / "agents" / "echo.py").unlink()
    (tree / "bot" / "agents" / "other.py").unlink()
    (tree / "bot" / "agents" / "other.py").mkdir()
    (tree / "link").symlink_to(outside, target_is_directory=True)
    (tree / "a.log").write_text("ignored")
    (tree / "secret" / "deep").mkdir(parents=True)
    (tree / "run.sh").chmod(0o644)
    await place.repository.reset(place.base, tree)
    assert await statuses(place) == {}
    assert not (tree / "secret").exists()
    assert (outside / "kept.txt").read_text() == "kept"


# --- what has changed ------------------------------------------------------------------------------------------------


async def test_every_kind_of_change_is_seen(place: Place) -> None:
    tree = await worktree(place)
    (tree / "bot/agents/echo.py").write_text("ECHO = 2\n")
    (tree / "bot/agents/new.py").write_text("NEW = 1\n")
    (tree / "README.md").unlink()
    assert await statuses(place) == {
        "bot/agents/echo.py": "modified",
        "bot/agents/new.py": "added",
        "README.md": "deleted",
    }


async def test_ignored_and_hidden_files_are_seen_too(place: Place) -> None:
    tree = await worktree(place)
    (tree / "debug.log").write_text("x")
    (tree / "secret").mkdir()
    (tree / "secret" / ".env").write_text("KEY=1")
    assert await statuses(place) == {"debug.log": "added", "secret/.env": "added"}


async def test_a_change_of_mode_alone_is_a_change(place: Place) -> None:
    tree = await worktree(place)
    (tree / "README.md").chmod(0o755)
    (tree / "run.sh").chmod(0o644)
    modes = {file.path: file.mode for file in await place.repository.changed(place.base, tree)}
    assert modes == {"README.md": 0o100755, "run.sh": 0o100644}


async def test_a_symlink_is_seen_as_one_and_never_followed(place: Place, tmp_path: Path) -> None:
    tree = await worktree(place)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    (tree / "README.md").unlink()
    (tree / "README.md").symlink_to("/etc/passwd")
    (tree / "folder").symlink_to(tmp_path / "outside", target_is_directory=True)
    (tree / "loop").symlink_to(tree, target_is_directory=True)
    found = {file.path: (file.status, file.mode) for file in await place.repository.changed(place.base, tree)}
    assert found == {
        "README.md": ("modified", 0o120000),
        "folder": ("added", 0o120000),
        "loop": ("added", 0o120000),
    }


async def test_a_pipe_is_seen_and_does_not_block(place: Place) -> None:
    tree = await worktree(place)
    os.mkfifo(tree / "pipe")
    [found] = await asyncio.wait_for(place.repository.changed(place.base, tree), 20)
    assert (found.path, found.status, found.mode) == ("pipe", "added", 0o010000)


async def test_compiled_python_is_not_a_change(place: Place) -> None:
    tree = await worktree(place)
    (tree / "bot" / "__pycache__").mkdir()
    (tree / "bot" / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"x")
    assert await statuses(place) == {}


async def test_a_repository_within_is_nothing_special_and_hides_no_file(place: Place) -> None:
    tree = await worktree(place)
    commit_all(tree / "bot" / "nested", {"inner.py": "x\n"})
    found = await statuses(place)
    assert found["bot/nested/inner.py"] == "added"
    assert "bot/nested/.git/config" in found


# --- committing ------------------------------------------------------------------------------------------------------


async def test_only_the_named_paths_are_committed(place: Place) -> None:
    tree = await worktree(place)
    (tree / "bot/agents/new.py").write_text("NEW = 1\n")
    (tree / "bot/agents/echo.py").write_text("ECHO = 2\n")
    (tree / "bot/agents/other.py").unlink()
    (tree / "debug.log").write_text("x")
    paths = ("bot/agents/new.py", "bot/agents/other.py")
    commit = await place.repository.commit(BRANCH, place.base, tree, paths, "Add new")
    before, after = set(await place.repository.files(place.base)), set(await place.repository.files(commit))
    assert (after - before, before - after) == ({"bot/agents/new.py"}, {"bot/agents/other.py"})
    assert await place.repository.read(commit, "bot/agents/echo.py") == "ECHO = 1\n"
    assert await place.repository.log(commit, limit=2) == [(commit, "Add new"), (place.base, "First")]


async def test_committing_the_same_again_gives_the_same_commit(place: Place) -> None:
    tree = await worktree(place)
    (tree / "bot/agents/echo.py").write_text("ECHO = 2\n")
    first = await place.repository.commit(BRANCH, place.base, tree, ("bot/agents/echo.py",), "Change")
    second = await place.repository.commit(BRANCH, place.base, tree, ("bot/agents/echo.py",), "Change")
    assert first == second != place.base


async def test_a_commit_always_stands_on_its_base(place: Place) -> None:
    tree = await worktree(place)
    for text in ("ECHO = 2\n", "ECHO = 3\n"):
        (tree / "bot/agents/echo.py").write_text(text)
        commit = await place.repository.commit(BRANCH, place.base, tree, ("bot/agents/echo.py",), "Change")
    assert [c for c, _ in await place.repository.log(commit)][:2] == [commit, place.base]


async def test_neither_a_symlink_nor_a_file_behind_one_is_committed(place: Place, tmp_path: Path) -> None:
    tree = await worktree(place)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("SECRET = 1\n")
    (tree / "bot" / "tools").symlink_to(outside, target_is_directory=True)
    (tree / "bot" / "agents" / "linked.py").symlink_to(outside / "secret.py")
    for path in ("bot/tools/secret.py", "../outside/secret.py", "bot/../../../outside/secret.py"):
        with pytest.raises(errors.GitError, match="leads out"):
            await place.repository.commit(BRANCH, place.base, tree, (path,), "Steal")
    commit = await place.repository.commit(BRANCH, place.base, tree, ("bot/agents/linked.py",), "Steal")
    assert "bot/agents/linked.py" not in await place.repository.files(commit)


async def test_a_file_that_is_not_there_cannot_be_read(place: Place) -> None:
    with pytest.raises(errors.GitError):
        await place.repository.read(place.base, "bot/none.py")


# --- pushing, merging, reverting -------------------------------------------------------------------------------------


async def test_a_branch_is_pushed_again_over_itself_and_deleted(place: Place) -> None:
    await propose(place, "README.md", "one\n")
    commit = await propose(place, "README.md", "two\n")
    remote = pygit2.Repository(str(place.remote.path))
    assert str(remote.references[f"refs/heads/{BRANCH}"].target) == commit
    for _ in range(2):
        await place.repository.delete_remote_branch(BRANCH)
    assert f"refs/heads/{BRANCH}" not in remote.references


async def test_a_merge_moves_main_and_merging_again_gives_the_same_commit(place: Place) -> None:
    head = await propose(place, "README.md", "new\n")
    merged = await place.remote.merge(head, "Merge #1")
    assert await place.repository.main() == merged == main_of(place)
    assert await place.repository.read(merged, "README.md") == "new\n"
    assert await place.remote.merge(head, "Merge #1 again") == merged
    assert main_of(place) == merged


async def test_merging_again_after_others_still_names_its_own_merge(place: Place) -> None:
    first = await propose(place, "README.md", "new\n")
    second = await propose(place, "bot/agents/other.py", "OTHER = 2\n", "feat/other-v1")
    merged = await place.remote.merge(first, "Merge #1")
    both = await place.remote.merge(second, "Merge #2")
    assert await place.remote.merge(first, "again") == merged
    assert await place.repository.main() == both
    files = {path: await place.repository.read(both, path) for path in ("README.md", "bot/agents/other.py")}
    assert files == {"README.md": "new\n", "bot/agents/other.py": "OTHER = 2\n"}


async def test_a_conflict_names_the_file_and_leaves_main(place: Place) -> None:
    first = await propose(place, "README.md", "one\n")
    second = await propose(place, "README.md", "two\n", "feat/other-v1")
    merged = await place.remote.merge(first, "Merge #1")
    with pytest.raises(errors.GitError, match=r"README\.md"):
        await place.remote.merge(second, "Merge #2")
    assert main_of(place) == merged


async def test_two_merges_at_once_both_arrive(place: Place) -> None:
    first = await propose(place, "README.md", "new\n")
    second = await propose(place, "bot/agents/other.py", "OTHER = 2\n", "feat/other-v1")
    await asyncio.gather(place.remote.merge(first, "Merge #1"), place.remote.merge(second, "Merge #2"))
    main = await place.repository.main()
    assert await place.repository.read(main, "README.md") == "new\n"
    assert await place.repository.read(main, "bot/agents/other.py") == "OTHER = 2\n"


async def test_a_commit_that_is_not_there_is_not_merged(place: Place) -> None:
    with pytest.raises(errors.GitError):
        await place.remote.merge("0" * 40, "Merge nothing")
    assert main_of(place) == place.base


async def test_a_revert_takes_back_one_merge_and_keeps_the_other(place: Place) -> None:
    first = await propose(place, "README.md", "new\n")
    second = await propose(place, "bot/agents/other.py", "OTHER = 2\n", "feat/other-v1")
    merged = await place.remote.merge(first, "Merge #1")
    await place.remote.merge(second, "Merge #2")
    reverted = await place.remote.revert(merged, "Revert #1")
    assert await place.repository.main() == reverted
    assert await place.repository.read(reverted, "README.md") == "# Bot\n"
    assert await place.repository.read(reverted, "bot/agents/other.py") == "OTHER = 2\n"


async def test_a_revert_that_later_changes_build_on_leaves_main(place: Place) -> None:
    first = await propose(place, "README.md", "one\n")
    merged = await place.remote.merge(first, "Merge #1")
    later = Place(place.project, place.remote, place.repository, place.work, merged)
    await place.repository.main()
    second = await propose(later, "README.md", "one and two\n", "feat/other-v1")
    main = await place.remote.merge(second, "Merge #2")
    with pytest.raises(errors.GitError, match="later changes"):
        await place.remote.revert(merged, "Revert #1")
    assert main_of(place) == main


async def test_the_diff_of_a_branch_leaves_out_what_main_did_meanwhile(place: Place) -> None:
    first = await propose(place, "README.md", "new\n")
    second = await propose(place, "bot/agents/other.py", "OTHER = 2\n", "feat/other-v1")
    merged = await place.remote.merge(first, "Merge #1")
    diff = await asyncio.to_thread(place.remote.diff, merged, second)
    assert "+OTHER = 2" in diff
    assert "README" not in diff


# --- exporting -------------------------------------------------------------------------------------------------------


async def test_an_export_holds_the_files_and_nothing_of_git(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "releases" / "one"
    await place.repository.export(place.base, folder)
    assert (folder / "bot/agents/echo.py").read_text() == "ECHO = 1\n"
    assert os.access(folder / "run.sh", os.X_OK)
    assert not (folder / ".git").exists()


async def test_an_export_that_fails_leaves_no_folder_of_that_name(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "releases" / "none"
    with pytest.raises(errors.GitError):
        await place.repository.export("0" * 40, folder)
    assert not folder.exists()


async def test_an_export_that_is_there_already_is_left_alone(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    await place.repository.export(place.base, folder)
    (folder / "mark").write_text("x")
    await place.repository.export(place.base, folder)
    assert (folder / "mark").exists()


async def test_a_tree_with_a_symlink_in_it_is_exported_without(place: Place, tmp_path: Path) -> None:
    (place.project / "link").symlink_to("/etc/passwd")
    commit = commit_all(place.project, {})
    await place.repository.export(commit, tmp_path / "out")
    assert not (tmp_path / "out" / "link").is_symlink()
    assert not (tmp_path / "out" / "link").exists()


# --- hostile worktrees -----------------------------------------------------------------------------------------------


async def test_nothing_that_a_worktree_or_its_repository_names_is_ever_run(place: Place, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\necho $0 >> {ran}\ncat\n")
    script.chmod(0o755)
    tree = await worktree(place)
    hostile = tree / "bot" / "repo"
    commit_all(hostile, {"inner.py": "x\n"})
    for repo in (hostile, place.project):
        hooks = repo / ".git" / "hooks"
        hooks.mkdir(exist_ok=True)
        for hook in ("pre-commit", "post-commit", "post-checkout", "pre-push", "post-merge", "reference-transaction"):
            shutil.copy2(script, hooks / hook)
        config = pygit2.Repository(str(repo)).config
        config["core.fsmonitor"] = str(script)
        config["core.hooksPath"] = str(hooks)
        config["filter.evil.clean"] = str(script)
        config["filter.evil.smudge"] = str(script)
        config["filter.evil.required"] = True
        config["diff.external"] = str(script)
        config["credential.helper"] = str(script)
    for hook in ("pre-receive", "update", "post-receive", "post-update"):
        shutil.copy2(script, place.remote.path / "hooks" / hook)
    (tree / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (tree / ".git").write_text(f"gitdir: {hostile / '.git'}\n")
    (tree / "README.md").write_text("new\n")

    assert "README.md" in await statuses(place)
    commit = await place.repository.commit(BRANCH, place.base, tree, ("README.md", ".gitattributes"), "Change")
    assert await place.repository.read(commit, "README.md") == "new\n"
    await place.repository.push(BRANCH)
    merged = await place.remote.merge(commit, "Merge #1")
    await place.repository.main()
    await place.repository.export(merged, tmp_path / "out")
    await asyncio.to_thread(place.remote.diff, place.base, commit)
    await place.repository.reset(place.base, tree)
    again = tmp_path / "again"
    await place.repository.add_worktree("feat/again-v1", merged, again)
    assert (again / "README.md").read_text() == "new\n"
    await place.remote.revert(merged, "Revert")
    await place.repository.remove_worktree(BRANCH, tree)
    assert not ran.exists(), ran.read_text()


async def test_locks_that_a_killed_process_left_hold_nobody_up(place: Place) -> None:
    tree = await worktree(place)
    (tree / "new.txt").write_text("new\n")
    (place.project / f".git/refs/heads/{BRANCH}.lock").touch()
    (place.project / ".git/refs/remotes/persais").mkdir(parents=True, exist_ok=True)
    (place.project / ".git/refs/remotes/persais/main.lock").touch()
    (place.remote.path / "refs/heads/main.lock").touch()
    head = await place.repository.commit(BRANCH, place.base, tree, ("new.txt",), "New")
    await place.repository.push(BRANCH)
    merged = await place.remote.merge(head, "Merge")
    assert await place.repository.main() == merged
