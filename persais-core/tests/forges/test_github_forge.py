"""The forge at GitHub, against its API and a git server that both want the token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pygit2
import pytest
from pydantic import SecretStr

from github_standin import TOKEN, GitHubStandIn
from persais_core import errors
from persais_core.domain.changes import Verdict
from persais_core.forges.github import GitHubForge
from persais_core.git import remote, workspace
from persais_core.git.repository import Repository

WHO = pygit2.Signature("Ann", "ann@localhost", 1, 0)


class House:
    """A workspace whose remote is at GitHub."""

    def __init__(self, hub: GitHubStandIn, folder: Path, token: str = TOKEN) -> None:
        self.hub, self.folder = hub, folder
        self.far = remote.Remote(hub.git_url, SecretStr(token))
        self.repository = Repository(folder, self.far)

        def at_once(error: Exception, tries: int) -> object:
            from githubkit.exception import RateLimitExceeded, RequestFailed
            from githubkit.typing import RetryOption

            passing = isinstance(error, RateLimitExceeded) or (
                isinstance(error, RequestFailed) and error.response.status_code >= 500
            )
            return RetryOption(passing and tries < 3, timedelta(milliseconds=1))

        self.forge = GitHubForge(self.far, self.repository, hub.url, retry=at_once)

    def write(self, branch: str, text: str, parent: str) -> str:
        """A commit that changes the one file."""
        repo = pygit2.Repository(str(self.folder))
        builder = repo.TreeBuilder()
        builder.insert("file.txt", repo.create_blob(text.encode()), pygit2.enums.FileMode.BLOB)
        made = repo.create_commit(None, WHO, WHO, f"Write {text!r}", builder.write(), [pygit2.Oid(hex=parent)])
        repo.references.create(f"refs/heads/{branch}", made, force=True)
        return str(made)

    async def opened(self, text: str = "new\n", branch: str = "feat/x-v1") -> tuple[int, str]:
        """A pull request with one commit on top of main."""
        base = await self.repository.main()
        head = self.write(branch, text, base)
        await self.repository.push(branch)
        link = await self.forge.open(branch=branch, head=head, base=base, title="Add x", body="Why")
        return link.number, head


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with GitHubStandIn.serving(tmp_path / "hub") as hub:
        folder = tmp_path / "workspace"
        repo = pygit2.init_repository(str(folder), initial_head="main")
        builder = repo.TreeBuilder()
        builder.insert("file.txt", repo.create_blob(b"old\n"), pygit2.enums.FileMode.BLOB)
        repo.create_commit("refs/heads/main", WHO, WHO, "Start", builder.write(), [])
        repo.remotes.create("persais", hub.git_url)
        made = House(hub, folder)
        await made.repository.push("main")
        yield made


async def test_a_pull_request_is_opened_marked_merged_and_its_branch_deleted(house: House) -> None:
    number, head = await house.opened()
    verdicts = [
        Verdict(check="tests", passed=True, summary="3 passed"),
        Verdict(check="lint", passed=False, summary=""),
    ]
    await house.forge.report(head, verdicts)
    await house.forge.comment(number, "Deployed.")
    merged = await house.forge.merge(number, head=head)
    await house.repository.delete_remote_branch("feat/x-v1")
    assert house.hub.statuses == [(head, "persais/tests", "success"), (head, "persais/lint", "failure")]
    assert house.hub.comments == [(number, "Deployed.")]
    assert (house.hub.main, house.hub.branches) == (merged, ["main"])
    assert await house.forge.merge(number, head=head) == merged


async def test_opening_again_brings_the_same_pull_request_up_to_date(house: House) -> None:
    number, _ = await house.opened()
    base = await house.repository.main()
    head = house.write("feat/x-v1", "newer\n", base)
    await house.repository.push("feat/x-v1")
    again = await house.forge.open(branch="feat/x-v1", head=head, base=base, title="Better", body="b")
    assert again.number == number and house.hub.pulls[number]["title"] == "Better"


async def test_a_merge_whose_answer_got_lost_is_known_for_one(house: House) -> None:
    number, head = await house.opened()
    assert await house.forge.merged(number, head=head) is None
    house.hub.lost = [502]  # the library asks again, and is refused since it is done
    assert await house.forge.merge(number, head=head) == house.hub.main != head
    assert await house.forge.merged(number, head=head) == house.hub.main
    assert await house.forge.merged(number, head="0" * 40) is None


@pytest.mark.parametrize("lost", [[500] * 9, [502, 405, 401]])
async def test_a_merge_that_nobody_can_tell_of_is_neither_done_nor_refused(house: House, lost: list[int]) -> None:
    number, head = await house.opened()
    house.hub.lost = lost
    with pytest.raises(errors.ForgeUnavailableError):
        await house.forge.merge(number, head=head)
    house.hub.failures.clear()
    assert await house.forge.merge(number, head=head) == house.hub.main


async def test_a_repository_that_is_away_may_take_the_revert_later(house: House) -> None:
    number, head = await house.opened()
    merged = await house.forge.merge(number, head=head)
    house.hub.is_away = True
    with pytest.raises(errors.ForgeUnavailableError):
        await house.forge.revert(merged, reason="x")


async def test_a_merge_is_taken_back_by_a_commit_on_main(house: House) -> None:
    number, head = await house.opened()
    merged = await house.forge.merge(number, head=head)
    reverted = await house.forge.revert(merged, reason="It broke")
    assert house.hub.main == reverted
    assert await house.repository.read(reverted, "file.txt") == "old\n"
    assert await house.forge.revert(merged, reason="It broke") == reverted


async def test_closing_twice_and_after_a_merge_does_nothing(house: House) -> None:
    number, head = await house.opened()
    await house.forge.close("feat/x-v1")
    await house.forge.close("feat/x-v1")
    assert house.hub.pulls[number]["state"] == "closed"
    with pytest.raises(errors.ForgeError, match="closed"):
        await house.forge.merge(number, head=head)


async def test_a_newer_push_is_not_merged(house: House) -> None:
    number, head = await house.opened()
    house.write("feat/x-v1", "sneaked in\n", await house.repository.main())
    await house.repository.push("feat/x-v1")
    with pytest.raises(errors.ForgeError, match="newer commits"):
        await house.forge.merge(number, head=head)


async def test_what_somebody_else_merged_at_github_does_not_pass_for_what_was_approved(house: House) -> None:
    number, approved = await house.opened()
    sneaked = house.write("feat/x-v1", "sneaked in\n", approved)
    await house.repository.push("feat/x-v1")
    await house.forge.merge(number, head=sneaked)
    with pytest.raises(errors.ForgeError, match="newer commits"):
        await house.forge.merge(number, head=approved)


@pytest.mark.parametrize("answer", [None, [], 5, {"workflow_runs": None}, {"workflow_runs": [{}]}, {"errors": 5}])
async def test_an_answer_that_is_not_github_s_fails_in_our_words(house: House, answer: object) -> None:
    number, head = await house.opened()
    house.hub.odd = [answer] * 9
    assert await house.forge.failed_run(head) is None
    with pytest.raises(errors.ForgeUnavailableError, match="answers something else"):
        await house.forge.merge(number, head=head)
    house.hub.odd, house.hub.odd_status = [answer, {"message": "Validation Failed", "errors": ["too", {}]}], 422
    for words in ("no reason given", "Validation Failed too"):
        with pytest.raises(errors.ForgeError, match=rf"refuses it \(422\): {words}"):
            await house.forge.comment(number, "x")


async def test_several_jobs_that_need_a_clone_at_once_get_one_that_stays(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "clones" / "workspace"

    def use(number: int) -> None:
        workspace.clone(folder, house.far)
        repo = pygit2.Repository(str(folder))
        repo.references.create(f"refs/heads/feat/x-v{number}", repo.references["refs/heads/main"].target)

    await asyncio.gather(*(asyncio.to_thread(use, number) for number in range(4)))
    assert len(list(pygit2.Repository(str(folder)).branches.local)) == 5


async def test_a_conflict_and_a_protected_main_are_told_apart(house: House) -> None:
    first, first_head = await house.opened("one\n", "feat/one-v1")
    second, second_head = await house.opened("two\n", "feat/two-v1")
    merged = await house.forge.merge(first, head=first_head)
    with pytest.raises(errors.ForgeError, match="changed meanwhile"):
        await house.forge.merge(second, head=second_head)
    house.hub.protect()
    with pytest.raises(errors.ForgeError, match="protected"):
        await house.forge.merge(second, head=second_head)
    with pytest.raises(errors.ForgeError, match="does not take the push"):
        await house.forge.revert(merged, reason="x")
    assert house.hub.main == merged


async def test_limits_and_failures_of_the_server_are_waited_out(house: House) -> None:
    house.hub.failures = [502, 503]
    number, _ = await house.opened()
    assert house.hub.pulls[number]["state"] == "open"
    house.hub.failures = [500] * 9
    with pytest.raises(errors.ForgeError, match="fails with status 500"):
        await house.forge.comment(number, "x")


@pytest.mark.parametrize(("missing", "words"), [("statuses", "commit statuses"), ("pull_requests", "pull requests")])
async def test_a_right_that_the_token_lacks_is_named(house: House, missing: str, words: str) -> None:
    _, head = await house.opened()
    house.hub.rights = house.hub.rights - {missing}
    with pytest.raises(errors.ForgeError, match=words):
        if missing == "statuses":
            await house.forge.report(head, [Verdict(check="tests", passed=True, summary="")])
        else:
            await house.forge.close("feat/x-v1")


async def test_a_wrong_token_is_said_and_shown_once(house: House) -> None:
    wrong = House(house.hub, house.folder, "wrong-token")
    with pytest.raises(errors.ForgeError, match="GITHUB_TOKEN"):
        await wrong.forge.close("feat/x-v1")
    house.hub.authorizations.clear()
    with pytest.raises(errors.GitError, match="refuses GITHUB_TOKEN"):
        await wrong.repository.main()
    assert len([shown for shown in house.hub.authorizations if shown]) == 1


async def test_a_repository_that_is_not_there_is_named(house: House) -> None:
    elsewhere = remote.Remote(f"{house.hub.url}/ann/no-bot.git", SecretStr(TOKEN))
    forge = GitHubForge(elsewhere, house.repository, house.hub.url)
    with pytest.raises(errors.ForgeError, match="ann/no-bot"):
        await forge.close("feat/x-v1")


async def test_the_token_is_written_nowhere(house: House) -> None:
    await house.opened()
    for file in house.folder.rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("git@github.com:ann/my-bot.git", "https://github.com/ann/my-bot.git"),
        ("ssh://git@github.com/ann/my-bot", "https://github.com/ann/my-bot.git"),
        ("https://ann:secret@github.com/ann/my-bot.git", "leave the address plain"),
        ("http://github.com/ann/my-bot.git", "https://"),
        ("my-bot", "https://"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_the_one_that_can(url: str, words: str) -> None:
    with pytest.raises(errors.SettingsError, match=words) as refused:
        remote.parse(url, None)
    assert "secret" not in str(refused.value)


def test_owner_and_repository_are_read_from_the_address() -> None:
    assert remote.parse("https://github.com/ann/my-bot.git", None).name == ("ann", "my-bot")
    assert remote.parse("https://git.example.org/ann/my-bot/", None).name == ("ann", "my-bot")
