"""What became of a change after its merge, said under its pull request for whoever reads there."""

from __future__ import annotations

import structlog

from persais_core import errors, texts
from persais_core.domain.changes import Change
from persais_core.mechanic.workshop import Workshop

log = structlog.get_logger(__name__)


async def leave(shop: Workshop, change: Change, text: str) -> None:
    """Say a line under a change's pull request; that it cannot be said there stops nothing."""
    if change.pull_request is None:
        return
    try:
        await shop.forge.comment(change.pull_request, texts.on_page(shop.redactor.text(text)))
    except errors.ForgeError as error:
        log.warning("nothing could be said under the pull request", change=change.id, cause=str(error))
