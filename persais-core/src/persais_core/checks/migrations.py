"""Whether the tables can follow the schemas of a change, and what is lost on the way.

The schemas are imported in the sandbox, on a copy of their own, since they could rewrite the one that the tests are
taken from. What comes back is a document that is read like a stranger's; from there on everything is ours: the steps
from the tables of today, their SQL, and the proof of it on a scratch database. The SQL that was proven is handed to
whoever asked, to be stored and run as it is.

Only tables that the changed files speak of are looked at: what else differs is not this change's doing. What would be
lost in them is held against the schemas as they were: what they did not name either was left by an earlier change.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import re
import secrets
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import psycopg

from persais_core import errors, processes
from persais_core.checks import base, declare
from persais_core.db import app_document, app_proof, app_schema, app_sql, app_steps
from persais_core.domain import changes
from persais_core.security import sandbox

NAME = "migrations"
FOLDER = "bot/schemas/"
# Named, not run here: importing the schemas is what must not happen in this process.
PROGRAM = "persais_core.checks.declare"
SECONDS = 30.0
LIMITS = sandbox.Limits(processes=32, address_bytes=8 << 30)
TABLE = re.compile(r"\bagent_[a-z0-9_]+")


class MigrationsCheck:
    """Whether the change of the tables is proven, up, down and up again.

    Args:
        seconds: wall clock for reading the schemas.
    """

    name = NAME

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    async def __call__(self, subject: base.Subject) -> changes.Verdict:
        """Render the schemas, and prove the way from the tables of today to them."""
        if not changed_schemas(subject):
            await _keep(subject, app_sql.Migration())
            return base.passed(NAME, "no schema changed")
        if subject.database_url is None:
            return base.failed(NAME, "no database", ["the schemas changed, and there is no database to try it on"])
        try:
            migration, rows = await propose(subject, seconds=self._seconds)
        except (app_schema.SchemaError, app_proof.ProofError) as error:
            return base.failed(NAME, "not possible", [str(error)])
        await _keep(subject, migration)
        return base.passed(NAME, _summary(migration, rows))


def changed_schemas(subject: base.Subject) -> list[str]:
    """The changed files that are schemas."""
    return [file.path for file in subject.changed if file.path.startswith(FOLDER)]


async def propose(
    subject: base.Subject, *, proves: bool = True, seconds: float = SECONDS
) -> tuple[app_sql.Migration, int]:
    """The way from the tables of today to the schemas of a candidate, and with how many records it was tried.

    Args:
        subject: with the address of the bot's database, which is read and nothing else; the trial has one of its own.
        proves: whether it is tried: up, down and up again. Without that, no records.
        seconds: wall clock for reading the schemas.

    Raises:
        SchemaError: the schemas cannot be imported, or declare something that cannot be stored.
        ProofError: the trial failed.
        DatabaseError: there is no database, or it does not answer.
        SandboxError: the sandbox does not run here.
    """
    if subject.database_url is None:
        raise errors.DatabaseError("there is no database to try it on")
    paths = changed_schemas(subject)
    written = [base.read(subject, path).decode("utf-8", "replace") for path in paths if path in subject.written]
    former = {table for path in paths for table in TABLE.findall(subject.former.get(path, ""))}
    spoken_of = former | {table for text in written for table in TABLE.findall(text)}
    url = subject.database_url
    wanted = await render(subject.root, subject.scratch, subject.sandbox, seconds=seconds)
    now = await asyncio.to_thread(_observe, url, wanted)
    steps = app_steps.difference(now, wanted, only=spoken_of, droppable=former, renames=_renames(subject, now, former))
    if any(step.is_lossy for step in steps) and subject.former:
        left = await _left(subject, now, spoken_of, seconds)
        steps = tuple(step.model_copy(update={"is_left": _about(step) in left}) for step in steps)
    # Names what is kept aside, so that a day can be read from it and no other change has the same.
    tag = f"{datetime.datetime.now(datetime.UTC):%Y%m%d}_{secrets.token_hex(2)}"
    migration = app_sql.write(steps, tag=tag)
    proven = steps and proves
    return migration, await asyncio.to_thread(app_proof.prove, url, now, wanted, migration) if proven else 0


def _renames(subject: base.Subject, now: app_schema.Schema, former: Collection[str]) -> list[app_steps.Rename]:
    """The renames of the plan, each with its table: the one of its schema's that has the field.

    Raises:
        SchemaError: the schema has tables, but none with that field.
    """
    found = []
    for rename in subject.renames:
        named = sorted({*TABLE.findall(subject.former.get(rename.path, ""))} & {*former})
        there = [table for name in named if (table := now.table(name)) is not None]
        fitting = [table.name for table in there if table.column(rename.before) is not None]
        # Where no table has it, `difference` says so; where there is no table yet, nothing is in it.
        for name in fitting[:1] or [table.name for table in there[:1]]:
            found.append(app_steps.Rename(table=name, before=rename.before, after=rename.after))
    return found


async def _left(
    subject: base.Subject, now: app_schema.Schema, spoken_of: Collection[str], seconds: float
) -> set[tuple[str, ...]]:
    """What would be dropped or bound by the schemas as they were before this change, too."""
    scratch = subject.scratch / "former"
    scratch.mkdir(mode=0o711, exist_ok=True)
    instead = {path: subject.former.get(path) for path in changed_schemas(subject)}
    try:
        before = await render(subject.root, scratch, subject.sandbox, seconds=seconds, instead=instead)
        steps = app_steps.difference(now, before, only=spoken_of)
    except app_schema.SchemaError:
        return set()  # they could not be read even then, so all of it counts as this change's
    finally:
        await sandbox.remove_tree(scratch)
    return {_about(step) for step in steps if step.is_lossy}


def _about(step: app_steps.Operation) -> tuple[str, ...]:
    """What tells a step from another, apart from how it is written."""
    return step.kind, step.table, step.column, step.detail


async def _keep(subject: base.Subject, migration: app_sql.Migration) -> None:
    if subject.keep is not None:
        await subject.keep(migration)


def _summary(migration: app_sql.Migration, rows: int) -> str:
    if not migration.operations:
        return "the tables stay as they are"
    left = "".join(f"; left by an earlier change: {step.sentence}" for step in migration.left)
    if migration.losses:
        return "; ".join(step.sentence for step in migration.losses) + left
    steps = base.count(len(migration.operations) - len(migration.left), "step", "steps")
    return f"{steps}, nothing is lost; tried with {base.count(rows, 'record', 'records')}{left}"


async def render(
    root: Path,
    scratch: Path,
    box: sandbox.Sandbox | None,
    *,
    seconds: float = SECONDS,
    instead: Mapping[str, str | None] | None = None,
) -> app_schema.Schema:
    """What the schemas of a project declare, without importing them in this process.

    Args:
        root: the project.
        scratch: a folder for the copy; the caller removes it.
        box: where they are imported. None: in a plain child process, which is enough for code that was approved and
            that this process is about to run itself.
        seconds: wall clock.
        instead: the text of files that are to be another one, by path; None for those that are not to be there.

    Raises:
        SchemaError: they cannot be imported, or declare something that cannot be stored.
        SandboxError: the sandbox does not run here.
    """
    tree = scratch / "schemas"
    await asyncio.to_thread(sandbox.copy_tree, root, tree)
    tree = tree.resolve()
    for path, text in (instead or {}).items():
        (tree / path).unlink(missing_ok=True)
        if text is not None:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text, "utf-8")
    (tree / declare.REPORT).unlink(missing_ok=True)
    command = processes.Command(
        argv=(sys.executable, "-I", "-m", PROGRAM, str(tree)),
        cwd=tree,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        timeout_seconds=seconds,
    )
    if box is None:
        outcome = await processes.run(command)
        stopped = f"it did not end within {seconds:g} s" if outcome.timed_out else ""
    else:
        outcome = await box.run(command, folder=tree, limits=LIMITS)
        stopped = outcome.stopped
    raw = sandbox.read_report(tree, declare.REPORT, max_bytes=app_document.MAX_DOCUMENT)
    if stopped or raw is None:
        tail = " | ".join(outcome.stderr.strip().splitlines()[-2:]).replace(f"{tree}/", "")
        why = stopped or f"there is no report (exit {outcome.exit_code}): {tail}"
        raise app_schema.SchemaError(f"reading the schemas was given up because {why}")
    cause = _cause(raw)
    if cause is not None:
        raise app_schema.SchemaError(cause.replace(f"{tree}/", ""))
    return app_document.read(raw)


def _cause(raw: bytes) -> str | None:
    """Why there is no document, in the program's own words."""
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    cause = answer.get("cause") if isinstance(answer, dict) else None
    return None if cause is None else " ".join(str(cause).split())[: base.MAX_FINDING]


def _observe(url: str, wanted: app_schema.Schema) -> app_schema.Schema:
    """The tables of today. Blocks.

    Raises:
        SchemaError: a table that the schemas declare is not the bot's.
        DatabaseError: the database does not answer.
    """
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            now = app_schema.observe(connection)
            for name in wanted.foreign:
                if connection.execute("select to_regclass(%s)", (f'public."{name}"',)).fetchone() == (None,):
                    raise app_schema.SchemaError(
                        f"the table {name} must be called {app_schema.PREFIX}…: set __tablename__"
                    )
    except psycopg.Error as error:
        raise errors.DatabaseError(f"the database does not answer: {str(error).strip().splitlines()[0]}") from error
    return now
