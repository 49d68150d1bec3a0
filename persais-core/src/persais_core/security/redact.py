"""Keeps secrets out of everything that is written down: logs, prompts, reports, errors.

Two nets. The values that this bot was started with are known, so they are found wherever they stand, also as part of a
URL or of a base64 header. And what looks like a key or a password of a common service is hidden even if nobody told us.
A `Redactor` is made once from the settings and passed to whoever writes.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
SHORTEST = 6  # characters; a shorter value would hide ordinary words
# With each message to a model its whole conversation comes by again, and with each log line the same words.
REMEMBERED = 512  # texts whose result is kept
REMEMBERED_LENGTH = 2000  # characters of a text that is

# Whatever may begin anywhere and end far away has a longest length: a long text without blanks, which anybody may send
# and any diff may hold, would else be read again from each of its characters.
OPENROUTER = re.compile(r"\bsk-or-(?:v\d-)?[A-Za-z0-9_-]{20,}")
OPENAI = re.compile(r"\bsk-(?!or-)[A-Za-z0-9_-]{20,}")
FLY = re.compile(r"\b(?:FlyV1\s+)?fm\d[a-z]?_[A-Za-z0-9+/=_,-]{20,}|\bfo1_[A-Za-z0-9_-]{20,}")
NEON = re.compile(
    r"\bnpg_[A-Za-z0-9]{10,}"
    r"|\bpostgres(?:ql)?://[^\s:/@'\"]{1,256}:[^\s@'\"]{1,512}@[^\s'\"]{0,256}\.neon\.tech[^\s'\"]*"
)
TELEGRAM = re.compile(r"\b\d{6,12}:[A-Za-z0-9_-]{30,}")
PATTERNS = (
    OPENROUTER,
    OPENAI,
    FLY,
    NEON,
    TELEGRAM,
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}"),
    re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}|\bxox[abposr]-[A-Za-z0-9-]{10,}"),
    re.compile(r"\bA[KS]IA[0-9A-Z]{16}\b|\bAIza[A-Za-z0-9_-]{30,}"),
    re.compile(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    re.compile(r"\bhf_[A-Za-z0-9]{30,}|\bnpm_[A-Za-z0-9]{36}\b|\bpypi-[A-Za-z0-9_-]{50,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{10,500}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
)
# The password of a URL, and what follows a word that announces a secret; only the second group is hidden.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s:/@'\"]{0,256}:)([^\s@'\"]{1,512})(?=@)")
_HEADER = re.compile(r"(\bauthorization['\"]?\s*[:=]\s*['\"]?(?:bearer|basic|token)\s+)([A-Za-z0-9._~+/=:-]{6,})", re.I)
# Without the header's name it may be a sentence ("basic understanding"): what follows must not look like a word.
_SCHEME = re.compile(
    r"(\b(?i:bearer|basic|token)\s+)(?=[A-Za-z._~+/=:-]*[0-9]|[A-Za-z]*[a-z][A-Z])([A-Za-z0-9._~+/=:-]{12,})"
)
_QUERY = re.compile(r"([?&](?:access_token|api_?key|key|token|secret|password)=)([^\s&#'\"]+)", re.I)


class Redactor:
    """Replaces secrets by `[hidden]`.

    Args:
        secrets: the values that are known; those shorter than six characters are left alone.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret.strip())}
        # Longest first: a URL that holds a password is hidden whole, not with a hole in it.
        alternatives = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
        self._known = re.compile(alternatives) if alternatives else None
        self._remembered = functools.lru_cache(REMEMBERED)(self._hidden)

    def text(self, value: str) -> str:
        """The text with every secret hidden; hiding twice changes nothing."""
        return self._remembered(value) if len(value) <= REMEMBERED_LENGTH else self._hidden(value)

    def _hidden(self, value: str) -> str:
        if self._known:
            value = self._known.sub(HIDDEN, value)
        for pattern in PATTERNS:
            value = pattern.sub(HIDDEN, value)
        for pattern in (_URL, _HEADER, _SCHEME, _QUERY):
            value = pattern.sub(rf"\g<1>{HIDDEN}", value)
        return value

    def value(self, value: Any) -> Any:
        """The same for what a log line carries: texts, and containers and exceptions that hold texts."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "replace"))
        if isinstance(value, Mapping):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(item) for item in value]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self.text(str(value))

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """Hide secrets in one log event: a structlog processor, to stand behind those that format exceptions."""
        return {key: item if key == "exc_info" else self.value(item) for key, item in event.items()}


def _forms(secret: str) -> Iterable[str]:
    """How a secret may be written: as it is, quoted for a URL, and in base64 at each of the three offsets."""
    if len(secret) < SHORTEST:
        return
    yield from {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
    # JSON and repr escape quotes and backslashes.
    yield secret.encode("unicode_escape").decode().replace('"', '\\"')
    raw = secret.encode()
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(bytes(offset) + raw).decode()
            # The first and last characters also depend on what stands beside the secret.
            start = (0, 2, 3)[offset]
            end = len(encoded.rstrip("=")) - (1 if (offset + len(raw)) % 3 else 0)
            if end - start >= SHORTEST:
                yield encoded[start:end]
