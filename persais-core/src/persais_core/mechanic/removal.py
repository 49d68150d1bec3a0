"""What a plan takes away: looked at before the plan stands, and removed by us before the coder begins.

Nobody may be left who uses it, and nobody may be working on it. What it leaves in the database stays: the settings, the
visibility and the owner of an agent are there again with it when it is brought back; a table goes as any other loss.
"""

from __future__ import annotations

import re
from pathlib import Path

from persais_core import errors
from persais_core.checks import uses
from persais_core.domain.changes import Change
from persais_core.domain.plans import Plan
from persais_core.mechanic.workshop import Workshop


async def check(shop: Workshop, change: Change, plan: Plan, base: str) -> None:
    """Look whether what a plan takes away can go.

    Raises:
        ValueError: somebody still uses it whom the plan leaves as they are; one line for the planner.
        PlanError: another open change is about it.
    """
    if not plan.remove:
        return
    there = [path for path in await shop.repository.files(base) if path.startswith(uses.FOLDERS)]
    sources = {path: await shop.repository.read(base, path) for path in there if path.endswith(".py")}
    left = {path: used for path, used in uses.still_used(sources, plan.gone).items() if path not in plan.writable}
    if left:
        told = [
            f"{path} still uses {', '.join(used)}; name {_part_of(path)} in `edit` or `remove` too"
            for path, used in left.items()
        ]
        raise ValueError("; ".join(told))
    for other in await shop.ledger.open_changes():
        if other.id in {change.id, change.replaces} or other.plan is None:
            continue
        if shared := sorted({*plan.gone} & {*other.plan.writable, *other.plan.gone}):
            raise errors.PlanError(
                f"change {other.id} is still open and is about {shared[0]} too; deploy or abort it first, then retry",
                key="remove-in-work",
                change=str(other.id),
                path=shared[0],
            )


def _part_of(path: str) -> str:
    """The part that a file is, or tests: a test may be changed together with that alone."""
    return re.sub(r"^tests/(\w+)/test_", r"bot/\1/", path)


def take_away(folder: Path, plan: Plan) -> None:
    """Remove the files that a plan takes away from a worktree, where they are there. Blocks.

    Raises:
        ChangeError: a folder on the way to one is a link, so it is another file than it seems.
    """
    top = folder.resolve()
    for path in plan.gone:
        file = folder / path
        if file.parent.resolve() != (top / path).parent:
            raise errors.ChangeError(
                f"{path} leads out of the project through a link; nothing was removed", key="remove-link", path=path
            )
        file.unlink(missing_ok=True)
