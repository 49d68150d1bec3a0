"""The coder fills the skeletons, or mends what the checks found."""

from __future__ import annotations

import shutil

import structlog
from pydantic import SecretStr

from persais_core import errors
from persais_core.coders.base import CodeJob, CodeResult
from persais_core.domain.changes import Change
from persais_core.llm.models import Booking
from persais_core.mechanic import cards, workshop
from persais_core.mechanic.workshop import Workshop

log = structlog.get_logger(__name__)

MAX_FAILURES = 6000  # characters of findings that the coder is shown
MAX_CONTEXT_FILES = 8


async def write(shop: Workshop, change: Change) -> CodeResult:
    """Let the coder work once, and book what it cost.

    Raises:
        CoderError: nothing usable came of it; the sentence says why.
    """
    if change.plan is None or change.base is None or change.branch is None:
        raise errors.ChangeError("there is no branch yet")
    booking = Booking(purpose="code", user_id=change.user_id, change_id=change.id)
    left = await shop.models.check_budget(booking)
    folder = shop.worktree(change.branch)
    files = cards.writable_files(change)
    there = tuple(path for path in files if (folder / path).is_file())
    scratch = shop.scratch(change.id) / f"round-{change.round}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    existing = sorted(await shop.repository.files(change.base))
    context = [p for p in existing if p.startswith("bot/") and p.endswith(".py") and not p.endswith("__init__.py")]
    job = CodeJob(
        root=folder,
        edit=there,
        create=tuple(path for path in files if path not in there),
        read=tuple(path for path in context if path not in files)[:MAX_CONTEXT_FILES],
        message=shop.redactor.text(
            workshop.render(
                "coder",
                understood=change.plan.understood,
                steps=change.plan.steps or (change.request,),
                files=files,
                examples=change.plan.examples,
                request=change.request.replace("</request>", ""),
                failures=failures(change, shop),
            )
        ),
        model=shop.models.coder,
        base_url=shop.settings.model_url or "",
        api_key=SecretStr(shop.settings.model_key),
        timeout_seconds=shop.settings.coder_timeout,
        max_cost=left if left != float("inf") else None,
        scratch=scratch,
    )
    # On a new machine its environment may still be on its way; this waits for it, or makes it.
    await shop.coder.prepare(lambda line: log.info("coder", change=change.id, line=line))
    result = await shop.coder.run(job)
    await shop.models.book(
        shop.models.coder,
        booking,
        result.tokens_in,
        result.tokens_out,
        result.cost,
    )
    return result


def failures(change: Change, shop: Workshop) -> str:
    """The findings of the last checks, without secrets, no longer than the coder should read."""
    lines = [
        line
        for verdict in change.verdicts
        if not verdict.passed
        for line in (f"[{verdict.check}] {verdict.summary}", *verdict.findings)
    ]
    return shop.redactor.text("\n".join(lines))[:MAX_FAILURES]
