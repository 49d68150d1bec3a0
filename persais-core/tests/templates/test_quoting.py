"""Nothing that a model writes can leave the literal it was put into."""

import ast
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from persais_core.templates import quoting

HOSTILE = [
    '"""',
    '"""\nimport os\n"""',
    "'''",
    'ends with "',
    'ends with \\"',
    'ends with \\\\"',
    "ends with \\",
    '\\"""',
    '""""""',
    '"',
    "\\N{BULLET} \\x41 \\u0041",
    "{{ 7 * 7 }} {% raw %}",
    "\u202e reversed \u2066 isolated \u200b \ufeff",
    "line\r\nline\u2028line\x0cline\x00",
    "宽" * 400,
    'x"' * 300,
    "\\" * 300,
    "a" * 900,
    "👩\u200d👩\u200d👧",
]


def lines_fit(text: str, indent: int = 0) -> bool:
    first, *others = text.split("\n")
    return indent + quoting.columns(first) <= quoting.WIDTH and all(
        quoting.columns(line) <= quoting.WIDTH for line in others
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_inside_a_docstring(text: str) -> None:
    clean = quoting.plain(text, 600)
    source = f"class A:\n    {quoting.docstring(clean, 4)}\n\n    x = 1\n"
    made = ast.parse(source).body[0]
    assert isinstance(made, ast.ClassDef)
    assert len(made.body) == 2
    assert "".join((ast.get_docstring(made) or "").split()) == "".join(clean.split())
    assert lines_fit(quoting.docstring(clean, 4), 4)


@given(st.text(max_size=700), st.sampled_from([0, 4]))
@example('a. "', 0)
def test_any_text_survives_a_docstring(text: str, indent: int) -> None:
    clean = quoting.plain(text, 600)
    literal = quoting.docstring(clean, indent)
    assert "".join(ast.literal_eval(literal).split()) == "".join(clean.split())
    assert lines_fit(literal, indent)


@given(st.text(max_size=200))
def test_any_text_survives_a_string_literal(text: str) -> None:
    literal = quoting.quoted(text)
    assert ast.literal_eval(literal) == text
    assert literal.isprintable()


@given(st.text(max_size=200), st.integers(min_value=1, max_value=80), st.booleans())
def test_plain_text_is_one_short_line_of_visible_characters(text: str, limit: int, joiners: bool) -> None:
    line = quoting.plain(text, limit, joiners=joiners)
    assert quoting.columns(line) <= limit
    assert all(sign == quoting.JOINER or unicodedata.category(sign)[0] != "C" for sign in line)
    assert joiners or quoting.JOINER not in line


def test_the_first_sentence_of_a_long_description_stands_alone() -> None:
    text = "Keeps a diary. " + "It asks every evening how the day was and notes the answer with the date. " * 3
    first = quoting.docstring(text.strip(), 4).split("\n")[0]
    assert first == '"""Keeps a diary.'


def test_a_list_that_does_not_fit_gets_one_line_per_item() -> None:
    assert quoting.listed("f(", ["a", "b"], ")") == "f(a, b)"
    assert quoting.listed("(", ["a"], ")", one_tuple=True) == "(a,)"
    assert (
        quoting.listed("f(", ["a" * 60, "b" * 60], ")", indent=4)
        == f"f(\n        {'a' * 60},\n        {'b' * 60},\n    )"
    )
