"""What the chat sees of a change: one message of live progress, the card with the buttons, and what came of /abort.

All are drawn from the stored change alone; no model writes on them.
"""

from __future__ import annotations

from persais_core import texts
from persais_core.agents import wording
from persais_core.domain import examples
from persais_core.domain.changes import Change, ChangeState
from persais_core.domain.chats import Button, Language, Reply
from persais_core.domain.configs import ConfigChange
from persais_core.domain.plans import Plan

MOST_FINDINGS = 6  # of one check that the chat is shown
SHOWING = ("view", "diff")
"""Buttons that only show something, and so stay on the card of a change that serves."""
_STAGES = ("scaffolding", "coding", "verifying", "delivering")


def progress_key(change: Change) -> str:
    """The outbox key of the progress message; each attempt has its own, so that what is new stands below."""
    return f"change:{change.id}:{_attempt(change)}progress"


def card_key(change: Change) -> str:
    """The outbox key of the card, one for each attempt as well."""
    return f"change:{change.id}:{_attempt(change)}card"


def _attempt(change: Change) -> str:
    return f"{change.attempt}:" if change.attempt else ""


def progress(change: Change, *, is_left: bool = False) -> Reply:
    """The message that is edited while work goes on.

    Args:
        is_left: the attempt that it tells of has failed, and another one is told of below.
    """
    say = texts.say
    language = change.language
    lines = []
    if change.state is ChangeState.PLANNING and (change.plan is None or change.unable):
        return Reply(text=say(language, "mechanic-planning"))
    if change.plan is None:
        pass  # it failed, or was called off, before there was one
    elif change.plan.question is not None:
        asked = say(language, "mechanic-question", question=texts.block(change.plan.question))
        return Reply(text="\n\n".join([asked, *_replacing(change)]))
    elif change.plan.decline is not None:
        return Reply(text=say(language, "mechanic-declined", reason=_reason(change, change.plan.decline)))
    elif change.plan.answer is not None:
        return Reply(text=say(language, "mechanic-answer", answer=texts.block(change.plan.answer)))
    elif change.plan.configure is not None:
        return _setting(change, change.plan.configure)
    else:
        kind = "mechanic-understood-create" if change.plan.create else "mechanic-understood-edit"
        if change.plan.only_removes:
            kind = "mechanic-understood-remove"
        lines.append(say(language, kind, summary=texts.line(change.plan.understood)))
        made = [path for path in change.plan.files if path not in change.plan.edit]
        lines += [f"- `{path}`" for path in made or change.plan.edit or change.plan.remove]
        if made and change.plan.edit:
            lines += ["", say(language, "plan-changes"), *(f"- `{path}`" for path in change.plan.edit)]
        if change.plan.files and change.plan.remove:
            lines.append(say(language, "card-removed", files=texts.line(", ".join(change.plan.remove))))
        lines += _plan_lines(change, change.plan)
        lines += ["", *replacing] if (replacing := _replacing(change)) else []
        lines.append("")
    at_work = not change.state.is_over and change.state is not ChangeState.FAILED
    if at_work and change.commit is None:
        lines.append(say(language, "mechanic-working"))
    if change.branch:
        lines.append(say(language, "mechanic-branch", branch=change.branch))
    lines += _stage_lines(change)
    if change.state is ChangeState.FAILED and change.commit is None:
        key = "mechanic-retried" if is_left else "mechanic-failed"
        lines += ["", say(language, key, cause=_sentence(texts.line(change.error or "")))]
    elif change.state is ChangeState.ABORTED and change.commit is None:
        key = "mechanic-aborted" if change.replaced_by is None else "mechanic-replaced"
        lines += ["", say(language, key, change=change.id, by=change.replaced_by or 0)]
    return Reply(text="\n".join(lines).strip(), buttons=_buttons(change) if change.commit is None else ())


def _setting(change: Change, wanted: ConfigChange) -> Reply:
    """What is to be set for an agent, or what became of that."""
    language, key = change.language, "mechanic-to-set"
    if change.state is ChangeState.ANSWERED:
        key = "mechanic-configured"
    elif change.state is ChangeState.ABORTED:
        key = "mechanic-left" if change.replaced_by is None else "mechanic-replaced"
    told = {"agent": texts.line(wanted.agent), "settings": wording.change(language, wanted), "change": change.id}
    lines = [texts.say(language, key, by=change.replaced_by or 0, **told)]
    if change.awaits_setting:
        lines += _replacing(change)
    if change.state is ChangeState.FAILED:
        lines.append(texts.say(language, "mechanic-failed", cause=_sentence(texts.line(change.error or ""))))
    return Reply(text="\n\n".join(lines), buttons=_buttons(change))


def _reason(change: Change, reason: str) -> str:
    """Why a request is declined, without the words that are put before it, which models like to say themselves."""
    before = texts.say(change.language, "mechanic-declined", reason="").strip(" .").casefold()
    reason = reason.strip()
    while reason.casefold().startswith(before) and (rest := reason[len(before) :].lstrip(" .:")):
        reason = rest
    return texts.block(_sentence(reason))


def _sentence(text: str) -> str:
    """Words that stand behind a full stop."""
    return text[:1].upper() + text[1:]


def _replacing(change: Change) -> list[str]:
    """That the plan stands in the place of an earlier change."""
    if change.replaces is None:
        return []
    return [texts.say(change.language, "mechanic-replaces", change=change.replaces)]


def _plan_lines(change: Change, plan: Plan) -> list[str]:
    """The tables and tools of a plan, made or changed, and what planning has cost."""
    language = change.language
    tables = [
        f"{part.name} ({', '.join(f.name for f in part.fields)})" for part in plan.create if part.kind == "schema"
    ]
    tools = [part.name for part in plan.create if part.kind == "tool"]
    lines = _renamed(plan, language)
    for key, names in (
        ("plan-tables", tables),
        ("plan-tables-changed", _edited(plan, "schemas")),
        ("plan-tools", tools),
        ("plan-tools-changed", _edited(plan, "tools")),
    ):
        if names:
            lines.append(texts.say(language, key, names=texts.line(", ".join(names))))
    if change.estimate:
        cost = f"{change.estimate:.2f}"
        key = "plan-estimate" if float(cost) else "plan-estimate-small"
        lines.append(texts.say(language, key, cost=cost))
    return lines


def _edited(plan: Plan, folder: str) -> list[str]:
    """Names of the parts of one kind that a plan changes."""
    start = f"bot/{folder}/"
    return [path.removeprefix(start).removesuffix(".py") for path in plan.edit if path.startswith(start)]


def _renamed(plan: Plan, language: Language) -> list[str]:
    """The fields that keep what is in them under another name."""
    return [
        texts.say(language, "card-renamed", before=texts.line(item.before), after=texts.line(item.after))
        for item in plan.renames
    ]


def _stage_lines(change: Change) -> list[str]:
    """One line for each stage that was begun, the checks one by one."""
    lines = []
    order = list(ChangeState)
    # A change that has ended early is told as it was then: what it never came to has no line.
    now = order.index(change.ended_in or change.state)
    if now > order.index(ChangeState.ROLLED_BACK):
        return []
    for stage in _STAGES:
        at = order.index(ChangeState(stage))
        mark = _mark(change) if at == now else "✅"
        if stage == "verifying":
            if at <= now or change.round > 1:  # what the last round found is what this one mends
                lines += _verdict_lines(change)
            # The checks have lines of their own, so that the stage itself needs one only where none of them says it.
            if at == now and (mark != "❌" or all(verdict.passed for verdict in change.verdicts)):
                lines.append(f"{mark} {texts.say(change.language, 'stage-verifying')}")
        elif at > now:
            break
        elif stage in {"scaffolding", "coding"} and change.plan is not None and change.plan.only_removes:
            if stage == "scaffolding":
                lines.append(f"{mark} {texts.say(change.language, 'stage-removing')}")
        elif stage == "scaffolding" and mark in "✅⏳" and change.plan is not None and not change.plan.create:
            continue  # there is nothing to be made from a template
        elif stage == "coding" and change.round > 1:
            lines.append(f"{mark} {texts.say(change.language, 'stage-coding-again', round=change.round)}")
        else:
            lines.append(f"{mark} {texts.say(change.language, f'stage-{stage}')}")
    return lines


def _mark(change: Change) -> str:
    """How the stage fares that a change is in, or was in when it ended."""
    if change.ended_in is None:
        return "⏳"
    return "❌" if change.error is not None else "🗑"


def _verdict_lines(change: Change) -> list[str]:
    """A line for each check, and more for what a failed one found."""
    lines = []
    for verdict in change.verdicts:
        passed = "✅" if verdict.passed else "❌"
        name = texts.say(change.language, f"check-{verdict.check}")
        # What a check found is told in English, for the coder; a passed one needs no more than its name.
        first, *more = [line[:200] for line in verdict.findings or (verdict.summary,)][:MOST_FINDINGS]
        lines.append(f"{passed} {name}" + ("" if verdict.passed else f": {texts.line(first)}"))
        lines += [f"- {texts.line(finding)}" for finding in more if not verdict.passed]
    return lines


def abort_told(change: Change, language: Language) -> Reply:
    """How the wish to call a change off fares, or how it ended."""
    say = texts.say
    if change.state is ChangeState.ABORTED:
        key = "mechanic-aborted" if change.replaced_by is None else "mechanic-replaced"
        return Reply(text=say(language, key, change=change.id, by=change.replaced_by or 0), plain=True)
    if not change.state.can_be_aborted:
        return Reply(text=say(language, "abort-late", change=change.id), plain=True)
    if change.abort_error is not None:
        return Reply(text=say(language, "abort-failed", change=change.id, cause=change.abort_error), plain=True)
    return Reply(text=say(language, "abort-begun", change=change.id), plain=True)


def card(change: Change, *, is_left: bool = False) -> Reply:
    """The card of a delivered change; its buttons are there only while they do something.

    Args:
        is_left: as for `progress`.
    """
    language = change.language
    title = {
        ChangeState.AWAITING_APPROVAL: "card-ready",
        ChangeState.DEPLOYING: "card-deploying",
        ChangeState.DEPLOYED: "card-deployed",
        ChangeState.ROLLED_BACK: "card-rolled-back",
        ChangeState.ABORTED: "card-aborted",
        ChangeState.FAILED: "card-failed",
    }.get(change.state, "card-ready")
    if change.state is ChangeState.DEPLOYING and change.platform:
        title = "card-deploying-there"
    if change.state is ChangeState.ABORTED and change.replaced_by is not None:
        title = "card-replaced"
    if is_left:
        title = "card-retried"
    lines = [
        texts.say(language, title, platform=change.platform, by=change.replaced_by or 0),
        texts.say(language, "card-branch", branch=change.branch or ""),
        # The examples are the owner's words, not somebody's code; they have a line of their own, with their files.
        texts.say(language, "card-files", count=len(change.files) - _example_files(change)),
        texts.say(language, "card-tests"),
        *_example_lines(change),
    ]
    if gone := change.removed:
        lines.insert(3, texts.say(language, "card-removed", files=texts.line(", ".join(gone))))
    if change.plan:
        lines += _renamed(change.plan, language)
    if change.losses:
        lines += ["", texts.say(language, "card-losses"), *(f"- {texts.line(loss)}" for loss in change.losses), ""]
    lines += [texts.line(told) for told in change.left]
    if change.unsandboxed:
        lines.append(f"🔴 {texts.say(language, 'warning-unsandboxed')}")
    if change.cost:
        lines.append(texts.say(language, "card-cost", cost=f"{change.cost:.4f}"))
    if told := change.error or change.note:
        lines += ["", texts.line(told)]
    return Reply(text="\n".join(lines), buttons=_buttons(change))


def left_behind(change: Change) -> dict[str, Reply]:
    """What is shown of a failed attempt once the next has begun: how it ended, no buttons, and where it goes on.

    Returns:
        The message that had the buttons, by its outbox key.
    """
    if change.commit is None:
        return {progress_key(change): progress(change, is_left=True).model_copy(update={"buttons": ()})}
    return {card_key(change): card(change, is_left=True).model_copy(update={"buttons": ()})}


def _example_files(change: Change) -> int:
    """How many of the changed files hold examples; the diff shows them beside the others."""
    return sum(1 for path in change.files if examples.PATH.fullmatch(path) and path not in change.removed)


def _example_lines(change: Change) -> list[str]:
    """How many of the owner's sentences are new, in how many files, and how many older answers they replace."""
    kept = [example for example in change.plan.examples if not example.is_kept] if change.plan else []
    replaced = sum(1 for example in kept if example.instead_of is not None)
    counted = [("card-examples", len(kept) - replaced), ("card-examples-replaced", replaced)]
    shown = [(key, count) for key, count in counted if count] or ([counted[0]] if _example_files(change) else [])
    files = [_example_files(change), 0]  # they are told once, with what stands first
    return [
        texts.say(change.language, key, count=count, files=more)
        for (key, count), more in zip(shown, files, strict=False)
    ]


def _buttons(change: Change) -> tuple[tuple[Button, ...], ...]:
    say, language = texts.say, change.language
    if change.state is ChangeState.FAILED and "retry" in change.buttons:
        actions = ("retry", "abort")
        return (tuple(Button(text=say(language, f"button-{a}"), data=change.buttons[a]) for a in actions),)
    if change.awaits_setting and "set" in change.buttons:
        actions = ("set", "leave")
        return (tuple(Button(text=say(language, f"button-{a}"), data=change.buttons[a]) for a in actions),)
    if change.state is ChangeState.DEPLOYED:
        shown = [action for action in SHOWING if action in change.buttons]
        row = [Button(text=say(language, f"button-{a}"), data=change.buttons[a]) for a in shown]
        if "view" not in shown and change.pull_request_url:
            row.insert(0, Button(text=say(language, "button-view"), url=change.pull_request_url))
        return (tuple(row),) if row else ()
    if change.state is not ChangeState.AWAITING_APPROVAL:
        return ()
    row = [
        Button(text=say(language, "button-deploy"), data=change.buttons["deploy"]),
        Button(text=say(language, "button-abort"), data=change.buttons["abort"]),
    ]
    if "view" in change.buttons:
        row.append(Button(text=say(language, "button-view"), data=change.buttons["view"]))
    elif change.pull_request_url:
        row.append(Button(text=say(language, "button-view"), url=change.pull_request_url))
    second = [
        Button(text=say(language, key), data=change.buttons[action])
        for action, key in (("try", "button-try"), ("diff", "button-diff"), ("deploy_drop", "button-deploy-drop"))
        if action in change.buttons
    ]
    return (tuple(row), tuple(second)) if second else (tuple(row),)
