"""Writes code the way aider asks for it: SEARCH/REPLACE blocks against the files it shows.

The task is one of the sentences that the planner made; the files are cut out of aider's own message. A file is parsed,
the function that answers (or the assertion of its test) is rewritten, and the SEARCH half of the block is copied from
the file, so it fits whatever the file's white space is.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence

from persais_core.emulators.model import behaviours

Said = tuple[str, str]
"""Role and text of one message."""

NOTHING = "Nothing to change: the files are already as the task wants them."
UNKNOWN = "I am the offline model and write only replies of simple text agents and comments. Nothing was changed."

_SHOWN = "I have *added these files to the chat*"
_RULES = "# *SEARCH/REPLACE block* Rules:"
_OPENING = re.compile(r"\n(?P<path>[^\n]+)\n(?P<fence>`{3,}|<(?:source|code|pre|codeblock|sourcecode)>)\n")
_COMMENT_STEP = re.compile(r'Add the comment ("(?:[^"\\]|\\.)*") at the top of (\S+\.py)')


def answer(messages: Sequence[Said]) -> str:
    """Answer aider.

    Args:
        messages: the whole conversation, oldest first.

    Returns:
        Blocks for the files in the chat, or one sentence when nothing is left to do or the task is beyond us.
    """
    files = _files(messages)
    task = _task(messages)
    comments = {path: json.loads(text) for text, path in _COMMENT_STEP.findall(task)}
    behaviour = behaviours.of_step(task)
    if not files or (not comments and behaviour is None):
        return UNKNOWN
    blocks = []
    for path, text in files.items():
        wanted = text
        if path in comments:
            wanted = commented(text, comments[path])
        elif behaviour is not None:
            wanted = answering(text, behaviour)
        if wanted != text:
            blocks.append(_block(path, text, wanted))
    return "\n".join(["Here are the changes.", "", *blocks]) if blocks else NOTHING


def answering(source: str, behaviour: behaviours.Behaviour) -> str:
    """An agent's file, or its test, rewritten to this behaviour; anything else comes back as it was."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    lines = source.splitlines(keepends=True)
    # From the end, so that the line numbers before it stay true.
    for node in sorted(_functions(tree), key=lambda node: node.lineno, reverse=True):
        if node.name == "reply":
            _rewrite_reply(lines, node, behaviour)
            _import(lines, tree, behaviour.imports)
        elif node.name.startswith("test_"):
            _rewrite_test(lines, node, behaviour)
    return "".join(lines)


def commented(source: str, text: str) -> str:
    """A file with one comment under its docstring."""
    comment = f"# {text}\n"
    if comment in source.splitlines(keepends=True):
        return source
    try:
        body = ast.parse(source).body
    except SyntaxError:
        body = []
    lines = source.splitlines(keepends=True)
    if not body or not _is_docstring(body[0]):
        return "".join([comment, "\n" if lines else "", *lines])
    end = body[0].end_lineno or 0
    return "".join([*lines[:end], "\n", comment, *([] if lines[end : end + 1] == ["\n"] else ["\n"]), *lines[end:]])


def _rewrite_reply(lines: list[str], node: ast.AsyncFunctionDef, behaviour: behaviours.Behaviour) -> None:
    body = node.body[1:] if _is_docstring(node.body[0]) else node.body
    message = node.args.args[1].arg if len(node.args.args) > 1 else "message"
    start = body[0].lineno if body else (node.body[0].end_lineno or 0) + 1
    indent = " " * node.body[0].col_offset
    lines[start - 1 : node.end_lineno] = [f"{indent}{line}\n" for line in behaviour.body(f"{message}.text")]


def _import(lines: list[str], tree: ast.Module, modules: Sequence[str]) -> None:
    """Import what is not imported yet, before the first import of the file."""
    missing = [f"import {module}\n" for module in modules if f"import {module}\n" not in lines]
    first = next((node.lineno for node in tree.body if _is_import(node)), None)
    if missing and first is not None:
        lines[first - 1 : first - 1] = [*missing, "\n"]


def _rewrite_test(lines: list[str], node: ast.AsyncFunctionDef, behaviour: behaviours.Behaviour) -> None:
    said = next(_said(node), None)
    if said is None:
        return
    for part in ast.walk(node):
        if not isinstance(part, ast.Assert) or not isinstance(part.test, ast.Compare):
            continue
        expected = part.test.comparators[0]
        if (
            isinstance(part.test.ops[0], ast.Eq)
            and isinstance(expected, ast.Constant)
            and isinstance(expected.value, str)
        ):
            indent = " " * part.col_offset
            literal = json.dumps(behaviour.answer(said), ensure_ascii=False)
            lines[part.lineno - 1 : part.end_lineno] = [f"{indent}assert {ast.unparse(part.test.left)} == {literal}\n"]
            return


def _said(node: ast.AST) -> Iterator[str]:
    """The texts of the messages that a test sends."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "Message":
            for argument in part.keywords:
                value = argument.value
                if argument.arg == "text" and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value


def _functions(tree: ast.Module) -> Iterator[ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            yield node


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module != "__future__")


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _task(messages: Sequence[Said]) -> str:
    """The newest message that holds a task; the rules that aider hangs on to it hold none."""
    for role, text in reversed(messages):
        said = text.partition(_RULES)[0]
        if role == "user" and (behaviours.of_step(said) or _COMMENT_STEP.search(said)):
            return said
    return ""


def _files(messages: Sequence[Said]) -> dict[str, str]:
    """The files in the chat, as aider showed them last."""
    shown = next((text for role, text in reversed(messages) if role == "user" and text.startswith(_SHOWN)), "")
    files: dict[str, str] = {}
    position = 0
    while opening := _OPENING.search(shown, position):
        fence = opening["fence"]
        closing = fence if fence.startswith("`") else f"</{fence[1:]}"
        # Aider picks a fence that starts no line of any file, so the first such line is the end.
        end = re.compile(rf"^{re.escape(closing)}$", re.MULTILINE).search(shown, opening.end())
        if not end:
            break
        files[opening["path"]] = shown[opening.end() : end.start()]
        position = end.end()
    return files


def _block(path: str, before: str, after: str) -> str:
    """One block for the lines that differ, with as many before them as make the place unique."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    stop = len(old) - end
    while start > 0 and ("".join(old[start:stop]).strip() == "" or before.count("".join(old[start:stop])) > 1):
        start -= 1
    if start == stop and old:
        stop += 1  # something new before the first line: that line says where
    wanted = new[start : len(new) - (len(old) - stop)]
    fence = "`" * 3
    while fence in before or fence in after:
        fence += "`"
    return "".join(
        [
            f"{path}\n{fence}python\n<<<<<<< SEARCH\n",
            *old[start:stop],
            "=======\n",
            *wanted,
            f">>>>>>> REPLACE\n{fence}\n",
        ]
    )
