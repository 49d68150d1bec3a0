"""Plans a change from a request in plain words.

A request and its corrections are read one after the other; what a later one says about the name, the behaviour or the
text replaces what was known. Whatever is not a simple text agent, a comment or a setting is declined, also a wish that
could be granted only in part: a stand-in that guesses would teach people the wrong thing about the bot.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from persais_core import texts
from persais_core.domain.chats import Language
from persais_core.emulators.model import behaviours, configs, names

MAX_TITLE = 40  # characters
MAX_COMMENT = 100  # characters
EXAMPLE = "Hello World"
MAX_EXAMPLES = 10  # of one plan
EDITABLE = re.compile(r"(bot|tests)/(agents|tools|schemas)/[a-z][a-z0-9_]*\.py\Z")

_QUOTED = re.compile(r'"([^"\n]+)"|«([^»\n]+)»|“([^”\n]+)”|„([^“”\n]+)[“”]|`([^`\n]+)`|(?<!\w)\'([^\n]+?)\'(?!\w)')
_NAMED = re.compile(
    r"(\b(agent|bot|call(ed)?(\s+it)?|named?(\s+it)?|агент\w*|бот\w*|назов\w*(\s+его)?|названием|именем|имени|зовут))"
    r"(\s+(named|called|с названием|с именем|по имени|под названием))?\s*[:,–—-]?\s*\Z",
    re.IGNORECASE,
)
_BARE_NAME = re.compile(
    r"\b(?:agent|агент\w*)\s+(?:named\s+|called\s+|с именем\s+|по имени\s+|под названием\s+)?([A-ZА-ЯЁ][\w-]*)"
    r"|\b(?:call(?:ed)?|name)\s+it\s+([A-ZА-ЯЁ][\w-]*)|\b[Нн]азови(?:те)?\s+(?:его\s+)?([A-ZА-ЯЁ][\w-]*)"
    r"|\ban?\s+([A-Za-z][\w-]*)\s+agent\b"
)
_CHANGE = re.compile(
    r"\b(change|modify|edit|update|teach|rewrite|now|instead|from now on)\b"
    r"|измени|поменя|переделай|обнови|научи|\bтеперь\b|\bпусть\b|вместо",
    re.IGNORECASE,
)
_CREATE = re.compile(
    r"\b(create|new|another|build)\b|\badd\s+(an?|the)\b|\b(make|want|need)\s+(me\s+)?an?\b"
    r"|(хочу|нужен)\s+агент|созда|\bнов(ый|ого)\b|\bсдела(й|ть)|добав\w*\s+агент",
    re.IGNORECASE,
)
_COMMENT = re.compile(
    r"\b(add|write|put|insert|leave)\b[^.]{0,20}\bcomment\b"
    r"|\b(добав|напи[шс]|встав|остав)\w*[^.]{0,20}комментари",
    re.IGNORECASE,
)
_FILE = re.compile(r"[\w./-]*\b\w+\.py\b")
_BEYOND = re.compile(
    r"weather|forecast|internet|https?\b|\bapi\b|website|\bnews\b|translat|\bimages?\b|picture|photo|voice|database"
    r"|\btable|remember|remind|schedul|every (day|hour|morning)"
    r"|currenc|\bprices?\b|calculat|погод|прогноз|интернет|\bсайт|новост"
    r"|перевод|переведи|картин|изображен|\bфото|голос|базу? данных|таблиц|запомин|напомин|расписан|каждый (день|час)"
    r"|каждое утро|курс\w* валют|\bцен[аыу]\b|посчита|вычисл",
    re.IGNORECASE,
)
_JOINED = re.compile(r"\s+(?:and|but|then|а|и|но|затем|потом)\s+|[,;.]\s+", re.IGNORECASE)
_DOES = re.compile(
    r"(?:(?:also|it|then|always|never|he|она?|ещё|еще|также|тоже|потом|всегда)\s+)*"
    r"(?!(?:thanks|this|is|has|its|his|as|always|yes|messages|letters|words|texts|users?)\b)"
    r"(?:[a-z]{2,}[^s\W]s\b|[а-яё]{2,}(?:ет|ит|ёт|ут|ют|ат|ят)(?:ся)?\b)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"\b(that|which|who|котор\w+|чтобы|умеющ\w+)\b", re.IGNORECASE)


@dataclass
class _Wish:
    """What is known of a request so far."""

    title: str | None = None
    kind: behaviours.Kind | None = None
    text: str | None = None
    file: str | None = None
    is_change: bool = False
    is_new: bool = False
    is_comment: bool = False
    is_beyond: bool = False
    parts: tuple[behaviours.Kind, ...] = ()
    has_more: bool = False


def plan(question: str) -> dict[str, Any]:
    """Answer one question of the planner.

    Args:
        question: JSON with `request`, `language`, `project` and `corrections`.

    Returns:
        What `domain.changes.Plan` accepts.

    Raises:
        ValueError: the question is not such JSON.
    """
    asked = json.loads(question)
    if not isinstance(asked, dict) or not isinstance(asked.get("request"), str):
        raise ValueError("the planner's question must be a JSON object with a request")
    language: Language = "ru" if asked.get("language") == "ru" else "en"
    project = asked.get("project") or {}
    last = str((asked.get("corrections") or [asked["request"]])[-1])
    if (wanted := configs.wish(last, project)) is not None:
        return {"slug": "change", "understood": texts.say(language, "emulators-model-read"), "configure": wanted}
    wish = _Wish()
    _listen(wish, asked["request"], project)
    for said in asked.get("corrections") or ():
        # "Rather this instead" says what is to be made, not that something exists which is to be changed.
        aim = wish.is_change, wish.is_new
        _listen(wish, str(said), project)
        wish.is_change, wish.is_new = aim
    made = _comment(wish, language, project) if wish.is_comment else _agent(wish, language, project)
    return {"slug": "change", **made}


def _listen(wish: _Wish, said: str, project: dict[str, Any]) -> None:
    """Take in one thing that was said."""
    title, quotes = _title(said)
    file = _FILE.search(said)
    bare = _QUOTED.sub(" ", said)
    if file:
        wish.file = file[0]
    if _COMMENT.search(bare):
        wish.is_comment = True
    if wish.is_comment:
        spoken = [text for text in (title, *quotes) if text and not _FILE.fullmatch(text)]
        wish.text = spoken[-1] if spoken else wish.text
        return
    known = _known(bare if title is None else title, project)
    wish.title = title or known or wish.title
    wish.is_change = wish.is_change or bool(_CHANGE.search(bare))
    wish.is_new = wish.is_new or bool(_CREATE.search(bare))
    wish.is_beyond = wish.is_beyond or bool(_BEYOND.search(bare))
    if title:
        bare = bare.replace(title, " ")
    kind = behaviours.kind_of(bare)
    if kind is None and wish.kind is None and title and not _CLAUSE.search(bare):
        kind = behaviours.kind_of(title)  # an agent "Echo" of which nothing else was said
    wish.kind = kind or wish.kind
    if kind is not None:
        wish.parts = behaviours.kinds_of(bare)
    wish.has_more = (wish.has_more and kind is None) or _more(bare)
    wish.text = quotes[-1] if quotes else wish.text


def _title(said: str) -> tuple[str | None, list[str]]:
    """The name an agent is given, and the other quoted texts."""
    title, quotes = None, []
    clause = _CLAUSE.search(said)
    for match in _QUOTED.finditer(said):
        text = next(group for group in match.groups() if group is not None)
        is_early = clause is not None and match.start() < clause.start()
        if title is None and (is_early or _NAMED.search(said[: match.start()])):
            title = text.strip()
        else:
            quotes.append(text)
    if title is None and (bare := _BARE_NAME.search(_QUOTED.sub(" ", said))):
        title = next(group for group in bare.groups() if group is not None)
        title = title[0].upper() + title[1:]
        if title.lower() in {"new", "simple", "another", "text", "small", "my"}:
            title = None
    return title, quotes


def _known(said: str, project: dict[str, Any]) -> str | None:
    """The agent of the project that is spoken of."""
    words = {word.casefold() for word in re.findall(r"\w+", said)}
    for agent in project.get("agents") or ():
        title = str(agent.get("title") or agent["name"])
        if agent["name"] in words or title.casefold() in words or title.casefold() == said.casefold():
            return title
    return None


def _existing(title: str, name: str, project: dict[str, Any]) -> str | None:
    """The file name of the agent with this title or name."""
    for agent in project.get("agents") or ():
        if agent["name"] == name or str(agent.get("title", "")).casefold() == title.casefold():
            return str(agent["name"])
    return None


def _agent(wish: _Wish, language: Language, project: dict[str, Any]) -> dict[str, Any]:
    if wish.is_beyond or wish.kind is None:
        return _declined(language, texts.say(language, "emulators-model-beyond"))
    kind = wish.kind
    if len(wish.parts) > 1 or wish.has_more:
        return _declined(language, _half(wish, kind, language))
    title = " ".join((wish.title or behaviours.DEFAULT_TITLE[kind]).split())[:MAX_TITLE]
    name = names.file_name(title)
    if name is None or not title.isprintable():
        title = behaviours.DEFAULT_TITLE[kind]
        name = names.file_name(title) or "echo"
    if kind in {"prefix", "suffix"} and wish.text is None:
        return _asked(language, texts.say(language, "emulators-model-which-text"))
    text = f"{title}: " if kind == "repeat" else wish.text or ""
    if len(text) > behaviours.MAX_TEXT or not text.isprintable():
        return _asked(language, texts.say(language, "emulators-model-long-text", limit=behaviours.MAX_TEXT))
    behaviour = behaviours.Behaviour(kind, text if kind in {"repeat", "prefix", "suffix"} else "")
    does = texts.say(language, f"emulators-model-does-{kind}", text=behaviour.text.strip())
    existing = _existing(title, name, project)
    if existing and wish.is_new:
        return _declined(language, texts.say(language, "emulators-model-exists", title=title, agent=existing))
    files = project.get("files") or ()
    if not wish.is_new and (f"bot/agents/{existing}.py" not in files if existing else wish.is_change):
        # The built-in agents have no file in the project and cannot be changed from here.
        own = [agent["name"] for agent in project.get("agents") or () if f"bot/agents/{agent['name']}.py" in files]
        others = ", ".join(own) or "—"
        return _declined(language, texts.say(language, "emulators-model-missing", title=title, agents=others))
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


def _more(said: str) -> bool:
    """Whether something else is to be done besides what we know: a clause with a verb that says nothing to us."""
    clause = _CLAUSE.search(said)
    others = _JOINED.split(said[clause.end() :] if clause else said)[1:]
    return any(_DOES.match(piece.strip()) and behaviours.kind_of(piece) is None for piece in others)


def _half(wish: _Wish, kind: behaviours.Kind, language: Language) -> str:
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


def _comment(wish: _Wish, language: Language, project: dict[str, Any]) -> dict[str, Any]:
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
