"""Plans a change from a request in plain words.

A request and its corrections are read one after the other; what a later one says about the name, or about the same
place of an answer, replaces what was known, and the rest stays. What is missing is asked for: which agent, what it is
to do, with which text. Whatever is not a simple text agent, a comment, a setting or a question is declined, also a wish
that could be granted only in part: a stand-in that guesses would teach people the wrong thing about the bot.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from typing import Any

from persais_core import texts
from persais_core.domain.chats import Language
from persais_core.emulators.model import behaviours, configs, mentioned, names, questions, wishes

MAX_TITLE = 40  # characters
MAX_COMMENT = 100  # characters
EXAMPLE = "Hello World"
MAX_EXAMPLES = 10  # of one plan
MAX_NAMED = 20  # agents in a sentence
EDITABLE = re.compile(r"(bot|tests)/(agents|tools|schemas)/[a-z][a-z0-9_]*\.py\Z")


def plan(question: str) -> dict[str, Any]:
    """Answer one question of the planner.

    Args:
        question: JSON with `request`, `language`, `project`, `settings`, `corrections` and `earlier`.

    Returns:
        What `domain.plans.Plan` accepts.

    Raises:
        ValueError: the question is not such JSON.
    """
    asked = json.loads(question)
    if not isinstance(asked, dict) or not isinstance(asked.get("request"), str):
        raise ValueError("the planner's question must be a JSON object with a request")
    language: Language = "ru" if asked.get("language") == "ru" else "en"
    project = asked.get("project") or {}
    corrections = [str(said) for said in asked.get("corrections") or ()]
    last = [asked["request"], *corrections][-1]
    if (wanted := configs.wish(last, project)) is not None:
        return {"slug": "change", "understood": texts.say(language, "emulators-model-read"), "configure": wanted}
    if wishes.is_question(last, project):
        told = questions.answer(last, language, project, asked.get("settings") or {})
        return {"slug": "change", "understood": texts.say(language, "emulators-model-read"), "answer": told}
    wish, says_something = wishes.Wish(), True
    wishes.listen(wish, asked["request"], project)
    for said in corrections:
        heard = wishes.Wish()
        wishes.listen(heard, said, project)
        if wishes.begins_anew(wish, said, project):
            wish, says_something = heard, True
            continue
        before = copy.copy(wish)
        wishes.listen(wish, said, project)
        if before.title is not None or before.is_new:
            # "Rather this instead" says what is to be made, not that something exists which is to be changed.
            wish.is_change, wish.is_new = before.is_change, before.is_new
        says_something = wish != before or heard.kind is not None
    if not (says_something or _may_be_said_again(asked)):
        return {"slug": "change", **_declined(language, texts.say(language, "emulators-model-beyond"))}
    if (gone := _removed(wish, language, project, asked.get("settings") or {})) is not None:
        return gone
    made = _comment(wish, language, project) if wish.is_comment else _agent(wish, language, project)
    return {"slug": "change", **made}


def _removed(
    wish: wishes.Wish, language: Language, project: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any] | None:
    """A plan that takes an agent away; None where that is not what is wanted, or it is none of the project's own."""
    if wish.is_comment or not wish.is_removal or not wish.title:
        return None
    name = _existing(wish.title, names.file_name(wish.title) or "", project)
    agent = next((agent for agent in mentioned.own(project) if agent["name"] == name), None)
    if agent is None:
        return None
    understood = texts.say(language, "emulators-model-removes", title=mentioned.title(agent))
    if (settings.get(agent["name"]) or {}).get("enabled", True):
        understood += f"\n{texts.say(language, 'emulators-model-milder', off=f'/config {name} enabled=no')}"
    return {
        "slug": names.slug("remove", agent["name"], "agent"),
        "understood": understood,
        "remove": [mentioned.path(agent)],
    }


def _may_be_said_again(asked: dict[str, Any]) -> bool:
    """Whether the earlier plan may come once more: its question is still open, or it could not be done."""
    earlier = asked.get("earlier") or {}
    return earlier.get("state") == "failed" or bool((earlier.get("plan") or {}).get("question"))


def _existing(title: str, name: str, project: dict[str, Any]) -> str | None:
    """The file name of the agent with this title or name."""
    for agent in project.get("agents") or ():
        if agent["name"] == name or str(agent.get("title", "")).casefold() == title.casefold():
            return str(agent["name"])
    return None


def _agent(wish: wishes.Wish, language: Language, project: dict[str, Any]) -> dict[str, Any]:
    own = mentioned.own(project)
    if wish.is_beyond:
        return _declined(language, texts.say(language, "emulators-model-beyond"))
    if wish.kind and (len(wish.parts) > 1 or wish.has_more):
        return _declined(language, _half(wish, wish.kind, language))
    if wish.is_gone or (wish.kind is None and not wish.adds):
        return _unclear(wish, language, project)
    if wish.title is None and not wish.is_new and (wish.is_change or not wish.of_agent):
        if not own:
            return _declined(language, texts.say(language, "emulators-model-no-agents"))
        agents = ", ".join(map(mentioned.title, own[:MAX_NAMED]))
        return _asked(language, texts.say(language, "emulators-model-which-agent", agents=agents))
    if wish.kind is None:
        missing = "emulators-model-which-text" if wish.text is None else "emulators-model-which-side"
        return _asked(language, texts.say(language, missing))
    kind = wish.kind
    title = " ".join((wish.title or behaviours.DEFAULT_TITLE[kind]).split())[:MAX_TITLE]
    name = names.file_name(title)
    if name is None or not title.isprintable():
        title = behaviours.DEFAULT_TITLE[kind]
        name = names.file_name(title) or "echo"
    if kind in {"prefix", "suffix"} and wish.text is None:
        return _asked(language, texts.say(language, "emulators-model-which-text"))
    behaviour, *others = (_part(one, text, title) for one, text in ((kind, wish.text), *wish.kept))
    behaviour = dataclasses.replace(behaviour, also=tuple(others))
    text = "".join(part.text for part in behaviour.parts)
    if len(text) > behaviours.MAX_TEXT or not text.isprintable():
        return _asked(language, texts.say(language, "emulators-model-long-text", limit=behaviours.MAX_TEXT))
    does = "; ".join(
        texts.say(language, f"emulators-model-does-{part.kind}", text=part.text.strip()) for part in behaviour.parts
    )
    existing = _existing(title, name, project)
    if existing and wish.is_new:
        return _declined(language, texts.say(language, "emulators-model-exists", title=title, agent=existing))
    files = project.get("files") or ()
    if not wish.is_new and (f"bot/agents/{existing}.py" not in files if existing else wish.is_change):
        # The built-in agents have no file in the project and cannot be changed from here.
        return _missing(title, language, own)
    test = f"tests/agents/test_{existing or name}.py"
    steps = (behaviour.step(), f"Let {test} expect exactly that answer.")
    if existing:
        edit = [f"bot/agents/{existing}.py", *([test] if test in files else [])]
        return {
            "understood": texts.say(language, "emulators-model-changes", title=title, does=does),
            "slug": names.slug("change", existing, "agent"),
            "edit": edit,
            "steps": list(steps[: len(edit)]),
            "examples": _examples(existing, behaviour, project),
        }
    keywords = dict.fromkeys((name.replace("_", " "), title.lower()))
    if name == "echo":
        keywords["эхо"] = None
    part = {
        "kind": "agent",
        "name": name,
        "title": title,
        "emoji": behaviours.EMOJI[kind],
        "keywords": list(keywords),
        "description": does[0].upper() + does[1:] + ".",
    }
    return {
        "understood": texts.say(language, "emulators-model-creates", title=title, does=does),
        "slug": names.slug("add", name, "agent"),
        "create": [part],
        "steps": list(steps),
        "examples": _examples(name, behaviour, project),
    }


def _part(kind: behaviours.Kind, text: str | None, title: str) -> behaviours.Behaviour:
    """One thing that an agent of this title does, with the text that belongs to it."""
    own = f"{title}: " if kind == "repeat" else text or ""
    return behaviours.Behaviour(kind, own if kind in {"repeat", "prefix", "suffix"} else "")


def _unclear(wish: wishes.Wish, language: Language, project: dict[str, Any]) -> dict[str, Any]:
    """What to say where an agent is named at best, but nothing that it is to do with a message."""
    own = mentioned.own(project)
    existing = wish.title and _existing(wish.title, names.file_name(wish.title) or "", project)
    is_own = existing in [agent["name"] for agent in own]
    if wish.title and not wish.is_new and not is_own and (existing or wish.is_change or wish.is_gone):
        return _missing(wish.title, language, own)
    if wish.is_vague and not wish.is_gone:
        if existing and wish.is_new:
            told = texts.say(language, "emulators-model-exists", title=wish.title, agent=existing)
            return _declined(language, told)
        return _asked(language, texts.say(language, "emulators-model-which-deed"))
    if is_own and not wish.is_new:
        off = f"/config {existing} enabled=no"
        return _declined(language, texts.say(language, "emulators-model-only", title=wish.title, off=off))
    return _declined(language, texts.say(language, "emulators-model-beyond"))


def _missing(title: str, language: Language, own: list[dict[str, Any]]) -> dict[str, Any]:
    agents = ", ".join(str(agent["name"]) for agent in own[:MAX_NAMED]) or "—"
    return _declined(language, texts.say(language, "emulators-model-missing", title=title, agents=agents))


def _half(wish: wishes.Wish, kind: behaviours.Kind, language: Language) -> str:
    """Which part could be done, and that it is only a part."""
    text = "…" if kind in {"repeat", "prefix", "suffix"} else ""
    kinds = wish.parts or (kind,)
    does = "; ".join(texts.say(language, f"emulators-model-does-{part}", text=text) for part in kinds)
    return texts.say(language, "emulators-model-half", does=does)


def _examples(agent: str, behaviour: behaviours.Behaviour, project: dict[str, Any]) -> list[dict[str, str]]:
    """One plain example, and what the agent is to answer from now on to each that it keeps."""
    known = (project.get("examples") or {}).get(agent) or ()
    said = dict.fromkeys([EXAMPLE, *(str(row["say"]) for row in known)])
    return [{"agent": agent, "say": say, "expect": behaviour.answer(say)} for say in list(said)[:MAX_EXAMPLES]]


def _comment(wish: wishes.Wish, language: Language, project: dict[str, Any]) -> dict[str, Any]:
    files = [path for path in project.get("files") or () if EDITABLE.match(path)]
    listed = ", ".join(files[:10]) or "—"
    if wish.file is None:
        return _asked(language, texts.say(language, "emulators-model-which-file", files=listed))
    wanted = wish.file.removeprefix("./").lstrip("/")
    path = next((path for path in files if path == wanted or path.endswith("/" + wanted)), None)
    if path is None:
        return _declined(language, texts.say(language, "emulators-model-no-file", file=wish.file, files=listed))
    stem = path.rpartition("/")[2].removesuffix(".py")
    text = " ".join((wish.text or f"About {stem.replace('_', ' ')}: see the docstring above.").split())
    text = text.lstrip("# ") if wish.text else text
    if not text or len(text) > MAX_COMMENT or not text.isprintable():
        return _asked(language, texts.say(language, "emulators-model-long-text", limit=MAX_COMMENT))
    return {
        "understood": texts.say(language, "emulators-model-comments", file=path, text=text),
        "slug": names.slug("comment", stem),
        "edit": [path],
        "steps": [comment_step(text, path)],
    }


def comment_step(text: str, path: str) -> str:
    """The step that asks for a comment."""
    return f"Add the comment {json.dumps(text, ensure_ascii=False)} at the top of {path}."


def _declined(language: Language, reason: str) -> dict[str, Any]:
    return {"understood": texts.say(language, "emulators-model-read"), "decline": reason}


def _asked(language: Language, question: str) -> dict[str, Any]:
    return {"understood": texts.say(language, "emulators-model-read"), "question": question}
