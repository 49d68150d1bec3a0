"""Pull requests of somebody who hosts at home."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pygit2
import pytest

from persais_core import errors
from persais_core.db.engine import Database
from persais_core.forges.base import PullRequestLink
from persais_core.forges.local import LocalForge
from persais_core.git.bare import BareRepository

ME = pygit2.Signature("Ann", "ann@localhost", 1, 0)


@dataclass
class House:
    """A forge over a bare repository with one file on main."""

    forge: LocalForge
    repo: pygit2.Repository
    base: str

    def branch(self, name: str, text: str, parent: str | None = None) -> str:
        """A commit that changes the file."""
        return write(self.repo, f"refs/heads/{name}", text, parent or self.base)

    async def open(self, branch: str, head: str, base: str | None = None) -> PullRequestLink:
        return await self.forge.open(branch=branch, head=head, base=base or self.base, title=f"Add {branch}", body="b")

    def main(self) -> str:
        return str(self.repo.references["refs/heads/main"].target)

    def text(self) -> str:
        tree = self.repo[self.main()].peel(pygit2.Tree)
        return self.repo[tree["file.txt"].id].peel(pygit2.Blob).data.decode()


def write(repo: pygit2.Repository, reference: str, text: str, parent: str | None) -> str:
    builder = repo.TreeBuilder()
    builder.insert("file.txt", repo.create_blob(text.encode()), pygit2.enums.FileMode.BLOB)
    parents = [pygit2.Oid(hex=parent)] if parent else []
    made = repo.create_commit(None, ME, ME, f"Write {text!r}", builder.write(), parents)
    repo.references.create(reference, made, force=True)
    return str(made)


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    path = tmp_path / "remote.git"
    repo = pygit2.init_repository(str(path), bare=True, initial_head="main")
    base = write(repo, "refs/heads/main", "old\n", None)
    return House(LocalForge(database, BareRepository(path), "http://127.0.0.1:3000"), repo, base)


def key_of(link: PullRequestLink) -> str:
    return parse_qs(urlsplit(link.url).query)["key"][0]


async def test_an_open_pull_request_has_a_number_and_a_link_with_a_key(house: House) -> None:
    link = await house.open("feat/a-v1", house.branch("feat/a-v1", "new\n"))
    assert link.url.startswith(f"http://127.0.0.1:3000/pulls/{link.number}?key=")
    assert len(key_of(link)) >= 20


async def test_opening_again_brings_the_same_one_up_to_date(house: House) -> None:
    first = await house.open("feat/a-v1", house.branch("feat/a-v1", "one\n"))
    moved = write(house.repo, "refs/heads/main", "moved\n", house.base)
    second = await house.open("feat/a-v1", house.branch("feat/a-v1", "two\n", moved), moved)
    assert first == second
    page = await house.forge.page(second.number, key_of(second))
    assert page is not None
    assert (page[0].base, "+two" in page[1], "-moved" in page[1]) == (moved, True, True)


async def test_each_branch_has_its_own(house: House) -> None:
    head = house.branch("feat/a-v1", "new\n")
    first, second = await house.open("feat/a-v1", head), await house.open("feat/b-v1", head)
    assert first.number != second.number
    assert key_of(first) != key_of(second)


async def test_a_closed_one_is_not_opened_again(house: House) -> None:
    head = house.branch("feat/a-v1", "new\n")
    first = await house.open("feat/a-v1", head)
    await house.forge.close("feat/a-v1")
    assert (await house.open("feat/a-v1", head)).number != first.number


async def test_what_reached_main_is_known_to_be_merged_though_nobody_lived_to_note_it(house: House) -> None:
    head = house.branch("feat/a-v1", "new\n")
    link = await house.open("feat/a-v1", head)
    assert await house.forge.merged(link.number, head=head) is None
    commit = await BareRepository(Path(house.repo.path)).merge(head, "Merge it")
    assert await house.forge.merged(link.number, head=head) == commit
    assert await house.forge.merge(link.number, head=head) == commit
    assert await house.forge.merged(link.number, head="0" * 40) is None


async def test_merging_moves_main_and_merging_twice_gives_the_same_commit(house: House) -> None:
    head = house.branch("feat/a-v1", "new\n")
    link = await house.open("feat/a-v1", head)
    merged = await house.forge.merge(link.number, head=head)
    assert (house.main(), house.text()) == (merged, "new\n")
    assert await house.forge.merge(link.number, head=head) == merged


async def test_merging_at_once_gives_the_same_commit(house: House) -> None:
    head = house.branch("feat/a-v1", "new\n")
    link = await house.open("feat/a-v1", head)
    first, second = await asyncio.gather(*(house.forge.merge(link.number, head=head) for _ in range(2)))
    assert first == second == house.main()


async def test_a_merge_that_was_not_noted_is_found_again(house: House, database: Database) -> None:
    """A death between the merge and its row must not merge twice."""
    head = house.branch("feat/a-v1", "new\n")
    link = await house.open("feat/a-v1", head)
    merged = await house.forge._remote.merge(head, "Merge")
    assert await house.forge.merge(link.number, head=head) == merged


async def test_only_the_approved_commit_is_merged(house: House) -> None:
    approved = house.branch("feat/a-v1", "new\n")
    link = await house.open("feat/a-v1", approved)
    await house.open("feat/a-v1", house.branch("feat/a-v1", "newer\n"))
    with pytest.raises(errors.ForgeError, match="newer commits"):
        await house.forge.merge(link.number, head=approved)
    assert house.main() == house.base


async def test_a_conflict_is_a_forge_error_and_leaves_everything_open(house: House) -> None:
    head = house.branch("feat/a-v1", "mine\n")
    link = await house.open("feat/a-v1", head)
    moved = write(house.repo, "refs/heads/main", "theirs\n", house.base)
    with pytest.raises(errors.ForgeError, match=r"file\.txt"):
        await house.forge.merge(link.number, head=head)
    assert house.main() == moved
    page = await house.forge.page(link.number, key_of(link))
    assert page and page[0].state == "open"


async def test_a_closed_or_missing_one_is_not_merged(house: House) -> None:
    head = house.branch("feat/a-v1", "new\n")
    link = await house.open("feat/a-v1", head)
    await house.forge.close("feat/a-v1")
    await house.forge.close("feat/a-v1")
    with pytest.raises(errors.ForgeError, match="is closed"):
        await house.forge.merge(link.number, head=head)
    with pytest.raises(errors.ForgeError, match="no pull request #99"):
        await house.forge.merge(99, head=head)
    await house.forge.close("feat/none-v1")


async def test_a_merged_one_stays_merged_when_it_is_closed(house: House) -> None:
    head = house.branch("feat/a-v1", "new\n")
    link = await house.open("feat/a-v1", head)
    merged = await house.forge.merge(link.number, head=head)
    await house.forge.close("feat/a-v1")
    assert await house.forge.merge(link.number, head=head) == merged


async def test_a_revert_takes_the_merge_back_with_its_reason(house: House) -> None:
    head = house.branch("feat/a-v1", "new\n")
    link = await house.open("feat/a-v1", head)
    merged = await house.forge.merge(link.number, head=head)
    reverted = await house.forge.revert(merged, reason="the release did not start")
    assert (house.main(), house.text()) == (reverted, "old\n")
    assert "the release did not start" in house.repo[reverted].peel(pygit2.Commit).message


async def test_reverting_what_is_no_merge_is_a_forge_error(house: House) -> None:
    with pytest.raises(errors.ForgeError):
        await house.forge.revert("0" * 40, reason="x")
    assert house.main() == house.base


async def test_the_page_shows_the_diff_to_who_has_the_key(house: House) -> None:
    link = await house.open("feat/a-v1", house.branch("feat/a-v1", "new\n"))
    page = await house.forge.page(link.number, key_of(link))
    assert page is not None
    row, diff = page
    assert (row.branch, row.state) == ("feat/a-v1", "open")
    assert "-old" in diff
    assert "+new" in diff


@pytest.mark.parametrize("key", ["", "wrong", "\ud800", "ключ", "x" * 100_000, "\x00"])
async def test_a_wrong_key_shows_nothing(house: House, key: str) -> None:
    link = await house.open("feat/a-v1", house.branch("feat/a-v1", "new\n"))
    assert await house.forge.page(link.number, key) is None
    assert await house.forge.page(link.number, key_of(link)[:-1]) is None


@pytest.mark.parametrize("number", [0, -1, 99, 10**18])
async def test_a_number_that_is_not_there_shows_nothing(house: House, number: int) -> None:
    assert await house.forge.page(number, "any") is None


async def test_the_key_of_another_pull_request_opens_nothing(house: House) -> None:
    head = house.branch("feat/a-v1", "new\n")
    first, second = await house.open("feat/a-v1", head), await house.open("feat/b-v1", head)
    assert await house.forge.page(first.number, key_of(second)) is None
