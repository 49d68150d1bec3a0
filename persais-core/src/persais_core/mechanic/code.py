"""The coder fills the skeletons, or mends what the checks found.

Before it is begun, the worktree must differ from its base in nothing but what the plan allows; the list of files that
may be written is fixed then, and stands in the audit with the commit that was begun from. Afterwards the worktree
itself is judged, not what the coder said of it: whatever differs and may not is put back, and that stands there too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
from hashlib import sha256
from typing import Any

import structlog
from pydantic import SecretStr

from persais_core import audit, errors
from persais_core.coders.base import CodeJob, CodeResult
from persais_core.domain.changes import Change
from persais_core.llm.models import Booking
from persais_core.mechanic import examples, tidy, workshop
from persais_core.mechanic.workshop import Workshop

log = structlog.get_logger(__name__)

MAX_FAILURES = 6000  # characters of findings that the coder is shown
MAX_CONTEXT_FILES = 8
MAX_REMOVED = 8000  # characters of each removed part that the coder is shown
MAX_WORDS = 300  # characters of the coder's own words that are passed on
MISTAKE = re.compile(r"(bot|tests)/(?!migrations/)[a-z0-9_]+/(?!conftest)[a-z0-9_]+\.py\Z")
"""Where a model that means well may want a file, too; that it wants one there twice, or elsewhere, is an alarm."""


async def one_round(shop: Workshop, change: Change, *, is_step: bool = False) -> CodeResult:
    """Let the coder work once on the files of a change, and put them in order.

    Args:
        is_step: it is a round of the loop, which is repeated after a kill. What the coder had written by then is found
            done by the one who repeats it, and counts all the same.

    Raises:
        CoderError: the coder could not be started.
        BudgetError: nothing may be spent any more.
    """
    before = await asyncio.to_thread(_found_at_first, shop, change) if is_step else {}
    result = await write(shop, change)
    if is_step and result.status == "no_edits":
        now = await asyncio.to_thread(_digests, shop, change)
        if edited := tuple(path for path in now if now[path] != before.get(path, now[path])):
            result = result.model_copy(update={"status": "edited", "edited": edited})
    if result.status == "edited":
        await tidy.run(shop.worktree(change.branch or ""), change.writable)
    return result


def _found_at_first(shop: Workshop, change: Change) -> dict[str, str]:
    """The digests of the files as they were when this round was begun for the first time."""
    note = shop.scratch(change.id) / f"round-{change.attempt}-{change.round}.json"
    with contextlib.suppress(OSError, ValueError):
        known: dict[str, str] = json.loads(note.read_text("utf-8"))
        return known
    found = _digests(shop, change)
    note.parent.mkdir(parents=True, exist_ok=True)
    fresh = note.with_suffix(".new")
    fresh.write_text(json.dumps(found), "utf-8")
    fresh.rename(note)
    return found


def _digests(shop: Workshop, change: Change) -> dict[str, str]:
    """What the files that the coder may write hold, by path; empty for one that is not there."""
    folder = shop.worktree(change.branch or "")
    files = [path for path in change.writable if not (folder / path).is_symlink()]
    return {p: sha256((folder / p).read_bytes()).hexdigest() if (folder / p).is_file() else "" for p in files}


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
    files, gone = change.writable, change.plan.gone
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
        read=tuple(path for path in context if path not in files and path not in gone)[:MAX_CONTEXT_FILES],
        message=shop.redactor.text(
            workshop.render(
                "coder",
                understood=change.plan.understood,
                steps=change.plan.steps or (change.request,),
                files=files,
                renames=change.plan.renames,
                removed=await _removed(shop, change),
                examples=change.plan.examples,
                request=_inside("request", "\n".join((change.request, *change.corrections))),
                failures=failures(change, shop),
                begins_anew=change.round <= 1,
            )
        ),
        model=shop.models.coder,
        base_url=shop.settings.model_url or "",
        api_key=SecretStr(shop.settings.model_key),
        api_key_setting=shop.settings.model_key_setting,
        timeout_seconds=shop.settings.coder_timeout,
        max_cost=left if left != float("inf") else None,
        prices=shop.settings.prices_of(shop.models.coder),
        secrets=tuple(map(SecretStr, shop.settings.secrets)),
        scratch=scratch,
    )
    if strays := await _strays(shop, change):
        paths = ", ".join(strays[:5])
        raise errors.CoderError(
            f"the worktree differs in {paths}, which is not part of this change; tap Retry",
            key="worktree-strays",
            paths=paths,
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
        is_alarming = bool(strays) or not all(map(MISTAKE.match, denied)) or await _was_refused(shop, change)
        alarm = "edit" if is_alarming else None
        await _note(shop, change, "edit refused", outcome="refused", alarm=alarm, files=denied)
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


async def _removed(shop: Workshop, change: Change) -> dict[str, str]:
    """What the parts held that were taken away, by path: one that is called otherwise is written anew from that."""
    assert change.plan and change.base
    there = await shop.repository.files(change.base)
    parts = [path for path in change.plan.remove if path in there]
    return {path: _inside("removed", await shop.repository.read(change.base, path))[:MAX_REMOVED] for path in parts}


def unfinished(result: CodeResult) -> errors.CoderError:
    """Why a round of the coder brought nothing, with the coder's own words after it."""
    match result.status:
        case "denied":
            paths = ", ".join(result.denied[:5])
            return errors.CoderError(
                f"the coder wanted to write files that this change may not touch: {paths}",
                key="coder-denied",
                paths=paths,
            )
        case "no_edits" if words := " ".join(result.reply.split())[:MAX_WORDS]:
            return errors.CoderError(f"the model changed nothing, and said: {words}", key="coder-said", words=words)
        case "no_edits":
            return errors.CoderError("the model answered without changing a file", key="coder-no-edits")
        case "malformed":
            return errors.CoderError("the model's edits did not fit the files", key="coder-malformed")
        case "token_limit":
            return errors.CoderError(
                "the model ran into its token limit; retry, or ask for a smaller change", key="coder-token-limit"
            )
        case "cost_limit":
            return errors.CoderError("the coder reached the cost limit", key="coder-cost-limit")
        case "timed_out":
            return errors.CoderError("the coder did not finish in time", key="coder-timed-out")
    cause = errors.CoderError(result.detail, key=result.key or None, **result.values)
    return errors.CoderError(f"the coder did not finish: {cause}", key="coder-failed", detail=cause)


async def _note(shop: Workshop, change: Change, action: str, *, outcome: str = "ok", **detail: Any) -> None:
    async with shop.database.session() as session:
        audit.record(session, action, subject=change.subject, outcome=outcome, commit=change.base, **detail)


async def _was_refused(shop: Workshop, change: Change) -> bool:
    """Whether the coder wanted to write where this change may not once before."""
    async with shop.database.session() as session:
        return bool(await audit.read(session, audit.Wanted(limit=1, action="edit refused", change=change.id)))


async def _strays(shop: Workshop, change: Change) -> tuple[str, ...]:
    """What differs in the worktree and is not of this change."""
    assert change.base and change.branch
    allowed = {*change.writable, *examples.paths(change.plan)}
    gone = change.plan.gone if change.plan else ()
    folder = shop.worktree(change.branch)
    changed = await shop.repository.changed(change.base, folder)
    back = tuple(path for path in gone if os.path.lexists(folder / path))
    return (*(file.path for file in changed if file.path not in allowed and file.path not in gone), *back)


async def _put_back(shop: Workshop, change: Change, paths: tuple[str, ...]) -> None:
    """Make files of the worktree what they were at the base, or take them away again where the plan does."""
    assert change.base and change.branch and change.plan
    there = {*await shop.repository.files(change.base)} - {*change.plan.gone}
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
