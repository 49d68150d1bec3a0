"""The coder fills the skeletons, or mends what the checks found.

Before it is begun, the worktree must differ from its base in nothing but what the plan allows; the list of files that
may be written is fixed then, and stands in the audit with the commit that was begun from. Afterwards the worktree
itself is judged, not what the coder said of it: whatever differs and may not is put back, and that stands there too.
"""

from __future__ import annotations

import shutil
from typing import Any

import structlog
from pydantic import SecretStr

from persais_core import audit, errors
from persais_core.coders.base import CodeJob, CodeResult
from persais_core.domain.changes import Change
from persais_core.llm.models import Booking
from persais_core.mechanic import cards, examples, workshop
from persais_core.mechanic.workshop import Workshop

log = structlog.get_logger(__name__)

MAX_FAILURES = 6000  # characters of findings that the coder is shown
MAX_CONTEXT_FILES = 8


async def write(shop: Workshop, change: Change) -> CodeResult:
    """Let the coder work once, and book what it cost.

    Raises:
        CoderError: it could not be begun; nothing was changed.
        SandboxError: it may not be run here.
        BudgetError: nothing may be spent any more.
    """
    if change.plan is None or change.base is None or change.branch is None:
        raise errors.ChangeError("there is no branch yet")
    booking = Booking(purpose="code", user_id=change.user_id, change_id=change.id, agent="mechanic")
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
                request=_inside("request", "\n".join((change.request, *change.corrections))),
                failures=failures(change, shop),
                begins_anew=change.round <= 1,
            )
        ),
        model=shop.models.coder,
        base_url=shop.settings.model_url or "",
        api_key=SecretStr(shop.settings.model_key),
        timeout_seconds=shop.settings.coder_timeout,
        max_cost=left if left != float("inf") else None,
        prices=shop.settings.prices_of(shop.models.coder),
        secrets=tuple(map(SecretStr, shop.settings.secrets)),
        scratch=scratch,
    )
    if strays := await _strays(shop, change):
        raise errors.CoderError(
            f"the worktree differs in {', '.join(strays[:5])}, which is not part of this change; tap Retry"
        )
    # On a new machine its environment may still be on its way; this waits for it, or makes it.
    await shop.coder.prepare(lambda line: log.info("coder", change=change.id, line=line))
    await _note(shop, change, "coder began", files=list(files), round=change.round)
    try:
        result = await shop.coder.run(job)
    except errors.PersaisError as error:
        await _note(shop, change, "coder ended", outcome="failed", cause=shop.redactor.text(str(error)))
        raise
    await shop.models.book(
        shop.models.coder,
        booking,
        result.tokens_in,
        result.tokens_out,
        result.cost,
    )
    if strays := await _strays(shop, change):
        await _put_back(shop, change, strays)
        result = result.model_copy(update={"status": "denied", "denied": (*result.denied, *strays)})
    denied = list(result.denied)
    if denied:
        await _note(shop, change, "edit refused", outcome="refused", files=denied)
    await _note(
        shop,
        change,
        "coder ended",
        outcome="ok" if result.status == "edited" else "failed",
        status=result.status,
        files=list(result.edited),
        denied=denied,
        cost=result.cost,
    )
    return result


async def _note(shop: Workshop, change: Change, action: str, *, outcome: str = "ok", **detail: Any) -> None:
    async with shop.database.session() as session:
        audit.record(session, action, subject=f"change {change.id}", outcome=outcome, commit=change.base, **detail)


async def _strays(shop: Workshop, change: Change) -> tuple[str, ...]:
    """What differs in the worktree and is not of this change."""
    assert change.base and change.branch
    allowed = {*cards.writable_files(change), *examples.paths(change.plan)}
    changed = await shop.repository.changed(change.base, shop.worktree(change.branch))
    return tuple(file.path for file in changed if file.path not in allowed)


async def _put_back(shop: Workshop, change: Change, paths: tuple[str, ...]) -> None:
    """Make files of the worktree what they were at the base."""
    assert change.base and change.branch
    there = await shop.repository.files(change.base)
    for path in paths:
        target = shop.worktree(change.branch) / path
        target.unlink(missing_ok=True)
        if path in there:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(await shop.repository.read(change.base, path), "utf-8")


def failures(change: Change, shop: Workshop) -> str:
    """The findings of the last checks, without secrets, no longer than the coder should read."""
    lines = [
        line
        for verdict in change.verdicts
        if not verdict.passed
        for line in (f"[{verdict.check}] {verdict.summary}", *verdict.findings)
    ]
    return _inside("findings", shop.redactor.text("\n".join(lines)))[:MAX_FAILURES]


def _inside(mark: str, text: str) -> str:
    """Text that cannot end the marks that it is put between."""
    return text.replace(f"</{mark}>", "")
