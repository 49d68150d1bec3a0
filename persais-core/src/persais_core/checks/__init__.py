"""What a change must pass before anybody is asked to approve it: one verdict per question, in a fixed order.

The first three read: which files were touched, what they use, whether a secret stands in them. If one of them fails,
the rest is not asked, as the rest runs what it is given. The others run in the sandbox. Up to the tests they share one
copy, the tests last, because tests are the candidate's own code and could rewrite what the others are to read. The
migrations, which import schemas before the tests, and the owner's examples, which come after them, have fresh ones.
"""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import structlog

from persais_core import errors
from persais_core.checks import base, examples, imports, lint, migrations, paths, secrets, tests, typecheck
from persais_core.domain import changes
from persais_core.security import sandbox

CATALOGUE: Mapping[str, Callable[[], base.Check]] = {
    paths.NAME: paths.PathsCheck,
    imports.NAME: imports.ImportsCheck,
    secrets.NAME: secrets.SecretsCheck,
    lint.NAME: lint.LintCheck,
    typecheck.NAME: typecheck.TypecheckCheck,
    migrations.NAME: migrations.MigrationsCheck,
    tests.NAME: tests.TestsCheck,
    examples.NAME: examples.ExamplesCheck,
}
ORDER = tuple(CATALOGUE)
GUARDS = {paths.NAME, imports.NAME, secrets.NAME}

log = structlog.get_logger(__name__)


async def verify(
    subject: base.Subject,
    names: Iterable[str] = ORDER,
    tell: Callable[[changes.Verdict], Awaitable[None]] | None = None,
) -> tuple[changes.Verdict, ...]:
    """Ask the checks one after the other.

    Args:
        subject: the candidate.
        names: which checks, asked in the order of `ORDER`.
        tell: called with each verdict as it is given.

    Returns:
        The verdicts; the last one failed when a guard stopped the rest.
    """
    wanted, verdicts = set(names), []
    await asyncio.to_thread(subject.scratch.mkdir, parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="verify-", dir=subject.scratch))
    scratch.chmod(0o711)  # the sandbox's own uid, where there is one, passes through it
    own = dataclasses.replace(subject, scratch=scratch)
    try:
        for name in ORDER:
            if name not in wanted:
                continue
            verdict = await ask(CATALOGUE[name](), own)
            verdicts.append(verdict)
            if tell:
                await tell(verdict)
            if name in GUARDS and not verdict.passed:
                break
    finally:
        await sandbox.remove_tree(scratch)
    return tuple(verdicts)


async def ask(check: base.Check, subject: base.Subject) -> changes.Verdict:
    """Ask one check; whatever goes wrong in it is a failed verdict, as a candidate may want the check to crash."""
    started = time.monotonic()
    try:
        verdict = await check(subject)
    except errors.PersaisError as error:
        verdict = base.failed(check.name, "not possible", [str(error)])
    except Exception:
        log.exception("check crashed", check=check.name)
        verdict = base.failed(check.name, "not possible", [f"the {check.name} check itself failed; see the log"])
    return verdict.model_copy(update={"seconds": round(time.monotonic() - started, 3)})
