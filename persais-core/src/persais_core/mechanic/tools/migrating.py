"""`apply_migration`: what the draft's schemas mean for the tables. Only a deployment changes the bot's own tables."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from pathlib import Path
from typing import Literal

from persais_core.checks import migrations
from persais_core.domain.chats import Value
from persais_core.mechanic import verify
from persais_core.mechanic.tools.draft import Draft
from persais_core.mechanic.workshop import Workshop
from persais_core.security import sandbox

MAX_SQL = 8000  # characters

NOTHING = "nothing changes: the tables are as the schemas want them"

Action = Literal["generate", "preview", "apply", "rollback"]


class MigrationArguments(Value):
    """What to do with the draft's schemas.

    Args:
        action: generate the SQL; preview the steps in words, and what is lost; apply it to a scratch copy of the
            tables; or roll it back there. The bot's own tables are changed by a deployment alone.
    """

    action: Action


class MigrationResult(Value):
    """What it comes to.

    Args:
        steps: in words, in their order; that there are none, where the tables are as the schemas want them.
        losses: those of them that lose or bind data.
        up: SQL, for `generate`, `apply` and `rollback`.
        down: the SQL that takes it back.
        tried: how the trial on a scratch copy went.
    """

    action: Action
    steps: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    up: str = ""
    down: str = ""
    tried: str = ""


async def apply_migration(shop: Workshop, draft: Draft, asked: MigrationArguments) -> MigrationResult:
    """Compare the draft's schemas with the bot's tables and, where asked, try the way there and back on a copy.

    Raises:
        SchemaError: a schema cannot be imported, or declares something that cannot be stored.
        ProofError: the trial failed.
        DatabaseError: the database does not answer.
    """
    change = await draft.open()
    proves = asked.action in {"apply", "rollback"}
    subject = await verify.subject_of(shop, change, keeps=False)
    scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="tables-", dir=subject.scratch))
    scratch.chmod(0o711)  # the sandbox's own uid, where there is one, passes through it
    try:
        found, rows = await migrations.propose(dataclasses.replace(subject, scratch=scratch), proves=proves)
    finally:
        await sandbox.remove_tree(scratch)
    shows_sql = asked.action != "preview"
    return MigrationResult(
        action=asked.action,
        steps=tuple(step.sentence for step in found.operations) or (NOTHING,),
        losses=tuple(step.sentence for step in found.losses),
        up=(found.safe.up + found.lossy.up)[:MAX_SQL] if shows_sql else "",
        down=(found.lossy.down + found.safe.down)[:MAX_SQL] if shows_sql else "",
        tried=_tried(rows) if proves and found.operations else "",
    )


def _tried(rows: int) -> str:
    return f"up, down and up again on a scratch copy with {rows} records: nothing but what is named was lost"
