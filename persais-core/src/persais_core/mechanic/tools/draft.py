"""What the tools of one change may write to: a draft, which is a tree of its own and is thrown away.

A draft is the change as if its plan were already what was tried so far. So every step of a change (templates, coder,
checks, tables) works on a draft as it does on a worktree, and there is no second way to do any of it. Nothing of a
draft is committed: what is to stay goes through the plan and its gates, from the beginning.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence

from persais_core import errors
from persais_core.domain.changes import Change
from persais_core.domain.plans import Part, Plan
from persais_core.mechanic.workshop import DRAFT, Workshop


class Draft:
    """The draft of one change.

    Args:
        change: for whom; it is read and never stored.
        base: commit of main that the draft begins with.
    """

    def __init__(self, shop: Workshop, change: Change, base: str) -> None:
        self._shop = shop
        self._change = change.model_copy(update={"base": base, "branch": f"{DRAFT}{change.id}", "plan": None})
        self._is_made = False

    @property
    def change(self) -> Change:
        """The change as it stands in the draft."""
        return self._change

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the coder may write here."""
        return self._change.writable

    @property
    def is_open(self) -> bool:
        """Whether there are files yet."""
        return self._is_made

    async def open(self) -> Change:
        """Lay the draft out as its base is, once."""
        if not self._is_made:
            assert self._change.branch and self._change.base
            folder = self._shop.worktree(self._change.branch)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)  # of a try that was killed
            await self._shop.repository.export(self._change.base, folder)
            self._is_made = True
        return self._change

    async def more(self, *, create: Sequence[Part] = (), edit: Sequence[str] = (), task: str = "") -> Change:
        """Take more into the draft's plan.

        Args:
            create: parts that are made in it.
            edit: files of its base that may be written.
            task: what is done now; it takes the place of an earlier one.

        Raises:
            ValueError: no plan may touch that.
            ChangeError: a file is not there.
        """
        plan = self._change.plan
        parts = (*(plan.create if plan else ()), *create)
        made = {path for part in parts for path in (part.path, part.test_path)}
        edited = dict.fromkeys((*(plan.edit if plan else ()), *(path for path in edit if path not in made)))
        after = Plan(
            understood=task or "A draft", create=parts, edit=tuple(edited), steps=(task,) if task else (), slug="draft"
        )
        assert self._change.base
        there = await self._shop.repository.files(self._change.base)
        if missing := [path for path in edited if path not in there]:
            raise errors.ChangeError(f"{missing[0]} is not in the commit that this begins from, so it cannot be edited")
        self._change = self._change.model_copy(update={"plan": after, "round": self._change.round + bool(task)})
        return self._change

    async def close(self) -> None:
        """Throw the draft away, with whatever else was tried for its change."""
        self._is_made = False
        await asyncio.to_thread(shutil.rmtree, self._shop.scratch(self._change.id), ignore_errors=True)
