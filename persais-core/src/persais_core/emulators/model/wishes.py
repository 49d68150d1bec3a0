"""What is known of an owner's request, one sentence after the other.

A sentence is read for the agent it is about, the behaviour that is wanted, a quoted text, and whether something is to
be made, changed or taken away. What a later one says about any of these replaces what was known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from persais_core.emulators.model import behaviours, mentioned, questions

LONGEST_LEAD = 80  # characters before a quoted name that are looked at

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
    r"|(хочу|нужен)\s+агент|созда|\bнов(ый|ого)\b|\bсдела(й|йте|ть)\b(?!\s+так\b)|добав\w*\s+агент",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"\b(delete|remove|erase|drop|destroy|kill|uninstall|rename|disable|get rid)\b|\b(switch|turn)(ed)?\b.*\boff\b"
    r"|\b(удал(и|ит|яй)|убери|убрать|сотри|стереть|снеси|выкинь|избавь|переимен|отключ|выключ)\w*",
    re.IGNORECASE,
)
# Words of which a wish consists that an agent be taken away, and nothing else.
_REMOVES = re.compile(
    r"delete|remove|erase|uninstall|rid|(удали|убери)(те)?|удалить|убрать|сотри|стереть|снеси", re.IGNORECASE
)
_REMOVING = re.compile(
    r"please|the|an?|my|our|agents?|bots?|i|you|we|can|could|would|want|need|like|to|from|of|get|it|him|named|called"
    r"|completely|entirely|any|more|again|ok|no|rather|instead|just"
    r"|пожалуйста|агент\w*|бот\w*|мо(й|его)|наш(его)?|из|у|нас|совсем|полностью|можешь|хочу|надо|нужно|его|просто|лучше"
    r"|нет|с|по|под|имен(ем|и)|названием|зовут|котор\w+",
    re.IGNORECASE,
)
# Words by which what is said takes the place of all that was said before.
_IN_PLACE = re.compile(r"\b(instead|only|just|without)\b|\bвместо\b|\bтолько\b|\bпросто\b|\bбез\b", re.IGNORECASE)
_AGENT = re.compile(r"\b(agents?|bots?)\b|\bагент|\bбот(а|у|ом)?\b", re.IGNORECASE)
_ADDS = re.compile(
    r"\b(adds?|adding|puts?|putting|attach(es)?|inserts?)\b(?!\s+(me\s+)?(an?|the|another|new)\s+(\w+\s+)?(agent|bot)\b)"
    r"|\b(добавля|прибавля|приписыва|вставля|ставит)\w*|\b(добавь|припиши|вставь|поставь)(те)?\b(?!\s+(нов\w+\s+)?(агент|бот))",
    re.IGNORECASE,
)
_TEXT = re.compile(
    r"\b(texts?|words?|phrases?|greetings?|signs?|something)\b|\b(текст|слов|фраз|приветстви|знак|что-(то|нибудь))",
    re.IGNORECASE,
)
# A wish of such words alone, and of names, does not say what the agent is to do.
_NO_DEED = re.compile(
    r"create|new|another|build|add|make|made|want|need|like|would|change|modify|edit|update|me|us|i|you|can|could|please"
    r"|an?|the|my|our|its?|agents?|bots?|named?|called?|with|name|simple|small|hi|hello|hey|ok|one|some"
    r"|(созда|сдела|добавь|измен|помен|передел|обнов)\w*|хо(чу|тим|телось)|бы|нуж(ен|на)|над[оа]|нов\w+|ещё|еще|одного|один"
    r"|мне|нам|пожалуйста|привет|агент\w*|бот\w*|с|по|под|имен(ем|и)|названием|прост\w+|какого|нибудь|его|мо(й|его)",
)
_COMMENT = re.compile(
    r"\b(add|write|put|insert|leave)\b[^.]{0,20}\bcomment\b"
    r"|\b(добав|напи[шс]|встав|остав)\w*[^.]{0,20}комментари",
    re.IGNORECASE,
)
_FILE = re.compile(r"(?<![\w./-])[\w./-]*\b\w+\.py\b")
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
class Wish:
    """What is known of a request so far.

    Attributes:
        title: how the agent is called that is to be made or changed.
        kind: what it is to do.
        text: what was quoted last and is no name.
        kept: what was asked for earlier, and goes on beside `kind`, each with its text.
        file: the file that was named.
        is_change: something that exists is to be changed.
        is_new: an agent is to be made.
        is_comment: a comment is wanted.
        is_beyond: it needs what no simple text agent can do.
        is_gone: something is to be taken away, switched off or called otherwise.
        is_removal: an agent is to be taken away, and nothing else.
        is_vague: an agent was asked for, and nothing said of what it is to do.
        of_agent: the word agent was said.
        adds: a text is to be added; where, may still be unknown.
        parts: all behaviours that the newest of them was asked for with.
        has_more: something was asked for besides that says nothing to us.
    """

    title: str | None = None
    kind: behaviours.Kind | None = None
    text: str | None = None
    kept: tuple[tuple[behaviours.Kind, str | None], ...] = ()
    file: str | None = None
    is_change: bool = False
    is_new: bool = False
    is_comment: bool = False
    is_beyond: bool = False
    is_gone: bool = False
    is_removal: bool = False
    is_vague: bool = False
    of_agent: bool = False
    adds: bool = False
    parts: tuple[behaviours.Kind, ...] = ()
    has_more: bool = False


def listen(wish: Wish, said: str, project: dict[str, Any]) -> None:
    """Take in one thing that was said."""
    is_first = wish == Wish()
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
    is_new = bool(_CREATE.search(bare)) and (is_first or wish.title is None)
    known = _known(bare if title is None else title, project, words=not is_new)
    if known is None and title is None and not is_new:
        named = {text: found for text in quotes if (found := _called_exactly(text, project))}
        known = next(iter(named.values()), None)
        quotes = [text for text in quotes if named.get(text) != known or known is None]
    about = bare
    if title:
        about = about.replace(title, " ")
    if not is_new:
        # An agent's name says nothing of what it is to do, whatever it is called.
        for name in {title, known, wish.title} - {None}:
            about = mentioned.without(about, _agent_of(str(name), project))
    wish.title = (title or known if is_new else known or title) or wish.title
    wish.is_change = wish.is_change or bool(_CHANGE.search(bare))
    wish.is_new = wish.is_new or is_new
    wish.is_beyond = wish.is_beyond or bool(_BEYOND.search(bare))
    wish.is_gone = bool(_GONE.search(about)) and not is_new
    wish.is_removal = wish.is_gone and _is_removal(about)
    wish.of_agent = wish.of_agent or bool(_AGENT.search(bare))
    if is_first:
        words = re.findall(r"\w+", about.casefold())
        wish.is_vague = bool(wish.title or wish.of_agent) and all(map(_NO_DEED.fullmatch, words))
    kind = behaviours.kind_of(about)
    is_free = known is None and not wish.is_change and not wish.is_gone
    if kind is None and wish.kind is None and title and is_free and not _CLAUSE.search(bare):
        kind = behaviours.kind_of(title)  # an agent "Echo" of which nothing else was said
    if kind is not None:
        wish.kept = _kept(wish, kind, bare, has_text=bool(quotes))
    wish.kind = kind or wish.kind
    if kind is not None:
        wish.parts = behaviours.kinds_of(about)
    wish.has_more = (wish.has_more and kind is None) or _more(about)
    wish.adds = wish.adds or bool(_ADDS.search(about) and (quotes or _TEXT.search(about)))
    wish.text = quotes[-1] if quotes else wish.text


def _is_removal(about: str) -> bool:
    """Whether nothing else is said, besides a name, than that something is to go."""
    words = re.findall(r"\w+", about)
    return any(map(_REMOVES.fullmatch, words)) and all(_REMOVES.fullmatch(w) or _REMOVING.fullmatch(w) for w in words)


def _kept(
    wish: Wish, kind: behaviours.Kind, said: str, *, has_text: bool
) -> tuple[tuple[behaviours.Kind, str | None], ...]:
    """What goes on of that which was asked for earlier, once something else is.

    "In lower case" leaves what stands before the message where it is; "instead" does not, what is repeated is repeated
    as it is, and a text that is only put on the other side leaves its old one.
    """
    if wish.kind is None or kind == "repeat" or _IN_PLACE.search(said) or len(wish.parts) > 1:
        return ()
    before = [*wish.kept, (wish.kind, wish.text)]
    texts = {"prefix", "suffix"}
    if kind in texts and not has_text:
        before = [one for one in before if one[0] not in texts]
    return tuple(
        one
        for one in before
        if behaviours.place(one[0]) != behaviours.place(kind) and not (one[0] in texts and one[1] is None)
    )


def is_question(said: str, project: dict[str, Any]) -> bool:
    """Whether something said is a question about the bot, and no wish; the weather is none of its own."""
    bare = _QUOTED.sub(" ", said)
    own = mentioned.own(project)
    if _BEYOND.search(bare) and not _AGENT.search(bare) and not mentioned.in_order(bare, own):
        return False
    for agent in own:
        bare = mentioned.without(bare, agent)
    is_wish = bool(behaviours.kind_of(bare) or _CREATE.search(bare) or _COMMENT.search(bare))
    return questions.asks(bare, is_wish=is_wish)


def begins_anew(wish: Wish, said: str, project: dict[str, Any]) -> bool:
    """Whether what is said later is about another agent than what was said before."""
    title, _ = _title(said)
    bare = _QUOTED.sub(" ", said)
    if wish.title is None and not wish.is_new:
        return bool(title and _CREATE.search(bare) and _AGENT.search(bare))
    known = None if title else _known(bare, project)
    return known is not None and known.casefold() != (wish.title or "").casefold()


def _title(said: str) -> tuple[str | None, list[str]]:
    """The name an agent is given, and the other quoted texts."""
    title, quotes = None, []
    clause = _CLAUSE.search(said)
    for match in _QUOTED.finditer(said):
        text = next(group for group in match.groups() if group is not None)
        is_early = clause is not None and match.start() < clause.start()
        if title is None and (is_early or _NAMED.search(said[max(0, match.start() - LONGEST_LEAD) : match.start()])):
            title = text.strip()
        else:
            quotes.append(text)
    if title is None and (bare := _BARE_NAME.search(_QUOTED.sub(" ", said))):
        title = next(group for group in bare.groups() if group is not None)
        title = title[0].upper() + title[1:]
        if title.lower() in {"new", "simple", "another", "text", "small", "my"}:
            title = None
    return title, quotes


def _known(said: str, project: dict[str, Any], *, words: bool = True) -> str | None:
    """Title of the agent of the project that is spoken of."""
    found = mentioned.in_order(said, project.get("agents") or (), words=words)
    return mentioned.title(found[0]) if found else None


def _called_exactly(said: str, project: dict[str, Any]) -> str | None:
    """Title of the agent whose name or title is all that is said."""
    words = said.strip().casefold()
    known = (
        agent for agent in project.get("agents") or () if words in (agent["name"], mentioned.title(agent).casefold())
    )
    return next(map(mentioned.title, known), None)


def _agent_of(title: str, project: dict[str, Any]) -> dict[str, Any]:
    """The agent with this title; one that is not there yet has nothing but that."""
    known = (agent for agent in project.get("agents") or () if mentioned.title(agent) == title)
    return next(known, {"name": title})


def _more(said: str) -> bool:
    """Whether something else is to be done besides what we know: a clause with a verb that says nothing to us."""
    clause = _CLAUSE.search(said)
    others = _JOINED.split(said[clause.end() :] if clause else said)[1:]
    return any(_DOES.match(piece.strip()) and behaviours.kind_of(piece) is None for piece in others)
