"""What is hidden from logs and reports, and what is left alone."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from persais_core.security import redact

SECRET = "p@ss w0rd/+&=?"


@pytest.mark.parametrize("part", ["a", "a.", "-eyJ", "a://", "a://b:", "postgres://a:"])
def test_a_long_text_without_blanks_is_read_once_and_not_from_each_of_its_characters(part: str) -> None:
    text = part * (60_000 // len(part))  # half a minute, if it were
    assert (
        redact.Redactor()
        .text(f"{text} postgres://bot:hunter2@db.internal/x")
        .endswith(f"{text[-20:]} postgres://bot:{redact.HIDDEN}@db.internal/x")
    )


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        f"before{SECRET}after",
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f"x:{SECRET}".encode()).decode(),
        base64.urlsafe_b64encode(f"ab{SECRET}".encode()).decode(),
    ],
)
def test_known_value_is_hidden_however_it_is_written(written: str) -> None:
    hidden = redact.Redactor([SECRET]).text(written)
    assert SECRET not in hidden
    assert redact.HIDDEN in hidden


# Put together here, so that no scanner takes this file for a leak.
KEYS = {
    "openrouter": "sk-or-" + "v1-" + "0123456789abcdef" * 4,
    "openai": "sk-" + "proj-" + "Ab3" * 12,
    "fly": "fm2_" + "lJPECAAAAAAAB" * 4,
    "neon": "npg_" + "x7K2pQ9sTvWz",
    "telegram": "123456789:" + "AAE" + "x" * 32,
    "github": "ghp_" + "A1b2" * 9,
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "stripe": "sk_" + "live_" + "51Hx9f" * 4,
    "sendgrid": "SG." + "a1B2c3D4" * 3 + "." + "e5F6g7H8" * 5,
    "hugging face": "hf_" + "aBcDeF" * 6,
    "npm": "npm_" + "a1B2c3" * 6,
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9" + "." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0" + "." + "dozjgNryP4J3jVmN",
}


@pytest.mark.parametrize("name", KEYS)
def test_key_of_a_common_service_is_hidden_unknown_as_it_is(name: str) -> None:
    assert redact.Redactor().text(f"key={KEYS[name]} end").endswith(f"{redact.HIDDEN} end")


def test_password_of_a_url_is_hidden_and_the_rest_stays() -> None:
    text = "cannot reach postgresql://bot:hunter2@db.example.com:5432/persais"
    assert redact.Redactor().text(text) == "cannot reach postgresql://bot:[hidden]@db.example.com:5432/persais"


def test_token_of_a_header_or_query_is_hidden() -> None:
    text = "Authorization: Bearer abcdefghijklmnop, GET /x?api_key=abc&page=2"
    assert redact.Redactor().text(text) == "Authorization: Bearer [hidden], GET /x?api_key=[hidden]&page=2"


@pytest.mark.parametrize("text", ["bearer 0123456789ab", "Basic dXNlcjpwYXNzd29yZA==", "token: x, TOKEN abCdefghijklm"])
def test_token_is_hidden_without_the_name_of_its_header(text: str) -> None:
    assert redact.Redactor().text(text).endswith(f" {redact.HIDDEN}")


@pytest.mark.parametrize(
    "text",
    [
        "Echo: Hello World",
        "An agent with a basic understanding of token classification and bearer recommendations",
        "2 tests in 1.0 s, see tests/agents/test_echo.py:12",
        "550e8400-e29b-41d4-a716-446655440000",
        "feat/add-echo-agent-v2 8a2f6a7c0c6f1d7b0b1c4b7f0c8a4d2e6f1a9b3c",
        "http://127.0.0.1:3000/chat?key",
        "Добавь слово «секрет» перед ответом",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact.Redactor([SECRET, "abc", ""]).text(text) == text


@given(st.text(min_size=12, alphabet=st.characters(min_codepoint=33, max_codepoint=126)), st.text(max_size=20))
def test_no_known_value_survives_and_hiding_twice_changes_nothing(secret: str, around: str) -> None:
    redactor = redact.Redactor([secret])
    once = redactor.text(f"{around} {secret} {around}")
    assert secret not in once.replace(redact.HIDDEN, "")
    assert redactor.text(once) == once


def test_log_event_is_clean_down_to_nested_values() -> None:
    lines: list[str] = []

    def keep(logger: object, method: str, event: dict[str, object]) -> str:
        lines.append(json.dumps(event))
        raise structlog.DropEvent

    log = structlog.wrap_logger(
        None, processors=[structlog.processors.format_exc_info, redact.Redactor([SECRET]), keep]
    )
    try:
        raise ValueError(f"refused {SECRET}")
    except ValueError:
        log.exception(f"call {SECRET}", headers={"x": [SECRET, 1, None]}, error=ValueError(SECRET))
    assert len(lines) == 1
    assert SECRET not in lines[0]
    assert '"x": ["[hidden]", 1, null]' in lines[0]
