"""Outside services that keep failing are left alone: the coder and the forge as much as a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from persais_core import errors, texts
from persais_core.breakers import FAILURES, Breakers, RestingError
from persais_core.coders.base import CodeJob, CodeResult, Status
from persais_core.coders.guarded import GuardedCoder
from persais_core.db.tables.evolution import PullRequest
from persais_core.domain.changes import Verdict
from persais_core.forges.base import PullRequestLink
from persais_core.forges.guarded import GuardedForge
from persais_core.metrics import Metrics


class Coder:
    """Ends every job in the same way."""

    name = "scripted"
    status: Status = "crashed"

    def __init__(self) -> None:
        self.runs = 0

    async def prepare(self, tell: Callable[[str], None]) -> None:
        tell("ready")

    async def warm(self) -> None:
        self.runs = 0

    async def run(self, job: CodeJob) -> CodeResult:
        self.runs += 1
        return CodeResult(status=self.status)

    async def close(self) -> None:
        self.runs = 0


class Forge:
    """Fails every call in the same way."""

    error: errors.ForgeError | None = None

    async def open(self, *, branch: str, head: str, base: str, title: str, body: str) -> PullRequestLink:
        return PullRequestLink(number=1, url="")

    async def report(self, head: str, verdicts: Sequence[Verdict]) -> None:
        return None

    async def comment(self, number: int, text: str) -> None:
        return None

    async def merge(self, number: int, *, head: str) -> str:
        if self.error:
            raise self.error
        return "merged"

    async def merged(self, number: int, *, head: str) -> str | None:
        return None

    async def revert(self, merge_commit: str, *, reason: str) -> str:
        return "reverted"

    async def failed_run(self, commit: str) -> str | None:
        return None

    async def close(self, branch: str) -> None:
        return None

    async def page(self, number: int, key: str) -> tuple[PullRequest, str] | None:
        return None


@pytest.fixture
def breakers() -> Breakers:
    return Breakers(Metrics())


@pytest.fixture
def job(tmp_path: Path) -> CodeJob:
    return CodeJob(root=tmp_path, message="x", model="m", base_url="http://x", api_key=SecretStr("k"), scratch=tmp_path)


async def test_a_coder_that_keeps_crashing_is_not_started_again_at_once(breakers: Breakers, job: CodeJob) -> None:
    inner = Coder()
    coder = GuardedCoder(inner, breakers)
    for _ in range(FAILURES):
        assert (await coder.run(job)).status == "crashed"
    with pytest.raises(errors.CoderError, match="left alone") as caught:
        await coder.run(job)
    assert texts.explain("ru", caught.value)
    assert inner.runs == FAILURES
    assert breakers.resting == ("coder scripted",)


async def test_what_the_model_writes_badly_says_nothing_against_the_coder(breakers: Breakers, job: CodeJob) -> None:
    coder, inner = GuardedCoder(inner := Coder(), breakers), inner
    inner.status = "malformed"
    for _ in range(FAILURES + 1):
        assert (await coder.run(job)).status == "malformed"


async def test_a_forge_that_is_down_is_left_alone_and_one_that_refuses_is_not(breakers: Breakers) -> None:
    forge, inner = GuardedForge(inner := Forge(), breakers), inner
    inner.error = errors.ForgeError("main conflicts")
    for _ in range(FAILURES + 1):
        with pytest.raises(errors.ForgeError, match="conflicts"):
            await forge.merge(1, head="x")
    inner.error = errors.ForgeUnavailableError("down")
    for _ in range(FAILURES):
        with pytest.raises(errors.ForgeUnavailableError, match="down"):
            await forge.merge(1, head="x")
    inner.error = None
    with pytest.raises(errors.ForgeUnavailableError, match="left alone") as caught:
        await forge.close("feat/x-v1")
    assert texts.explain("en", caught.value)


async def test_one_success_begins_the_count_anew(breakers: Breakers) -> None:
    async def call(*, fails: bool) -> None:
        async with breakers.around("x", counts=(OSError,)):
            if fails:
                raise OSError

    for _ in range(3):
        for _ in range(FAILURES - 1):
            with pytest.raises(OSError):
                await call(fails=True)
        await call(fails=False)
    assert breakers.resting == ()
    for _ in range(FAILURES):
        with pytest.raises(OSError):
            await call(fails=True)
    with pytest.raises(RestingError):
        await call(fails=False)
