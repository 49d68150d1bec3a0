"""What passed the checks becomes one commit, a pushed branch, a pull request and a card with buttons."""

from __future__ import annotations

import structlog

from persais_core import audit, errors
from persais_core.domain.changes import Change, ChangeState
from persais_core.forges.base import PullRequestLink
from persais_core.mechanic import approvals, description
from persais_core.mechanic.preview import tried
from persais_core.mechanic.workshop import Workshop
from persais_core.settings import TELEGRAM_API_URL

log = structlog.get_logger(__name__)

ACTIONS = ("diff", "deploy", "abort", "view")


async def deliver(shop: Workshop, change: Change) -> Change:
    """Commit, push, open the pull request and show the card; repeating it changes nothing."""
    if change.plan is None or change.base is None or change.branch is None:
        raise errors.ChangeError("there is no branch yet")
    folder = shop.worktree(change.branch)
    if await shop.repository.fingerprint(folder, change.files) != change.verified:
        raise errors.ChangeError("the files changed after they were checked; try again", key="changed-meanwhile")
    clean = shop.redactor.text  # what a request holds goes into git and onto a page
    message = description.message(change, clean)
    commit = await shop.repository.commit(change.branch, change.base, folder, change.files, message)
    await shop.repository.push(change.branch)
    link = await shop.forge.open(
        branch=change.branch,
        head=commit,
        base=change.base,
        title=description.title(change, clean),
        body=description.body(change, clean),
    )
    try:
        await shop.forge.report(commit, change.verdicts)
    except errors.ForgeError as error:  # a mark that is missing there is no reason to do all of it again
        log.warning("the verdicts could not be shown at the commit", change=change.id, cause=str(error))
    tried_agent = await tried.agent_of(shop.repository, change, commit)
    async with shop.ledger.changing(change.id) as (session, current):
        actions = [action for action in ACTIONS if action != "view" or not _opens_links(shop, link)]
        if tried_agent:
            actions.append("try")
        if current.losses or current.left:
            actions.append("deploy_drop")
        buttons = approvals.issue(session, current.model_copy(update={"commit": commit}), actions)
        changed = current.model_copy(
            update={
                "commit": commit,
                "pull_request": link.number,
                "pull_request_url": link.url,
                "buttons": buttons,
                "state": ChangeState.AWAITING_APPROVAL,
            }
        )
        await shop.ledger.write(session, changed)
        audit.record(
            session,
            "pull request opened",
            actor=change.user_id,
            subject=change.subject,
            commit=commit,
            branch=change.branch,
            pull_request=link.number,
        )
    return changed


def _opens_links(shop: Workshop, link: PullRequestLink) -> bool:
    """Telegram refuses buttons with a link to this computer; another Bot API server at home takes them."""
    local = link.url.startswith(("http://127.0.0.1", "http://localhost"))
    return not local or shop.settings.telegram_api_url != TELEGRAM_API_URL
