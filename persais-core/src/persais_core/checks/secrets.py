"""Whether a key or password stands in the changed files. A finding names the place and the kind, never the secret."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from persais_core.checks import base
from persais_core.checks.pieces import named, pieces_of
from persais_core.checks.reviewer import characters
from persais_core.domain import changes
from persais_core.security import redact

NAME = "secrets"
# Every repeat that something must follow has an end: a line made for it would hold the whole bot up otherwise.
OWN = {
    "OpenRouter key": redact.OPENROUTER,
    "OpenAI key": redact.OPENAI,
    "Fly token": redact.FLY,
    "Neon address with password": redact.NEON,
    "Telegram bot token": re.compile(
        rf"{redact.TELEGRAM.pattern}|/bot\d{{6,12}}:[\w-]{{30,}}|(?<!\d)\d{{8,10}}:AA[\w-]{{30,}}"
    ),
    "AWS Access Key": re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"),
    "Google key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}|\bGOCSPX-[\w-]{20,}|\bya29\.[\w-]{20,}"),
    "GitHub Token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}"),
    "GitLab Token": re.compile(r"\bgl(?:pat|dt|rt|cbt|ptt|soat)-[\w-]{20,}"),
    "Slack Token": re.compile(r"\bxox[abeposr](?:-[\w-]+){1,}|hooks\.slack\.com/services/T\w+/B\w+/\w+"),
    "Discord webhook": re.compile(r"discord(?:app)?\.com/api/webhooks/\d+/[\w-]{20,}"),
    "Stripe Access Key": re.compile(r"\b[rs]k_(?:live|test)_[0-9a-zA-Z]{16,}|\bwhsec_[0-9a-zA-Z]{20,}"),
    "token of a model's maker": re.compile(
        r"\bhf_[A-Za-z0-9]{30,}|\bgsk_[A-Za-z0-9]{30,}|\br8_[A-Za-z0-9]{30,}|\bxai-[A-Za-z0-9]{40,}|\bpplx-[A-Za-z0-9]{40,}"
    ),
    "token of a hosting service": re.compile(
        r"\bdop_v1_[a-f0-9]{60,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{50,}|\bsbp_[a-f0-9]{40}|\bglsa_\w{30,}"
        r"|\brnd_[A-Za-z0-9]{20,}|\bntn_[A-Za-z0-9]{40,}|\bsecret_[A-Za-z0-9]{43}\b|\blin_api_[A-Za-z0-9]{40}"
        r"|\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|\bdapi[a-f0-9]{32}\b|\bEAA[A-Za-z0-9]{60,}|\bdckr_pat_[\w-]{20,}"
    ),
    "mail service key": re.compile(
        r"\bSG\.[\w-]{16,}\.[\w-]{16,}|\bkey-[0-9a-f]{32}\b|\b[0-9a-f]{32}-us\d{1,2}\b|\bxkeysib-[a-f0-9]{40,}|\bre_[A-Za-z0-9]{20,}_?\w*"
    ),
    "Twilio key": re.compile(r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    "Private Key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\bAGE-SECRET-KEY-1[A-Z0-9]{50,}"),
    "JSON Web Token": re.compile(r"\beyJ[\w-]{10,2000}\.eyJ[\w-]{10,}(?:\.[\w-]*)?"),
    "authorization header": re.compile(
        r"\b(?:Bearer|Token|OAuth) +(?=\S*\d)(?=\S*[A-Za-z])[\w.+/~-]{24,}|\bBasic +[A-Za-z0-9+/]{16,}={0,2}",
        re.IGNORECASE,
    ),
    "signature of a shared address": re.compile(r"[?&\"']?\bsig=[A-Za-z0-9%+/]{30,}"),
    "Sentry address": re.compile(r"https?://[0-9a-f]{32}@\S+"),
    "VK token": re.compile(r"\bvk1\.a\.[\w-]{40,}"),
    # Letters of both kinds and digits: names of variables stand there as well.
    "password": re.compile(
        r"(?:парол[ья]|токен|\bpass(?:word|wd)?|\bpwd)\s*(?:=|:\s)\s*"
        r"(?=\S{0,200}\d)(?=\S{0,200}(?-i:[A-Z]))(?=\S{0,200}(?-i:[a-z]))(?!\S{0,200}[(){}\[\]<>])[^\s'\"]{8,}",
        re.IGNORECASE,
    ),
    "address with password": re.compile(
        r"\b[a-z][a-z0-9+.-]{0,20}://[^\s:/@'\"{}]{0,200}:[^\s:/@'\"{}]{3,200}@[^\s'\"]+", re.IGNORECASE
    ),
}
_PLUGINS = (
    *(
        "AWSKeyDetector",
        "ArtifactoryDetector",
        "AzureStorageKeyDetector",
        "CloudantDetector",
        "DiscordBotTokenDetector",
    ),
    *("GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector", "JwtTokenDetector", "KeywordDetector"),
    *("MailchimpDetector", "NpmDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector"),
    *("SlackDetector", "SquareOAuthDetector", "StripeDetector", "TwilioKeyDetector"),
)
# No filter for lines that are marked as harmless: whoever wrote the secret would write the mark too. And none that
# verifies a find by asking its service.
_FILTERS = (
    *("is_sequential_string", "is_potential_uuid", "is_templated_secret", "is_likely_id_string"),
    *("is_not_alphanumeric_string", "is_indirect_reference"),
)
_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "plugins_used": [
        *({"name": name} for name in _PLUGINS),
        {"name": "HexHighEntropyString", "limit": 3.0},
        {"name": "Base64HighEntropyString", "limit": 4.5},
    ],
    "filters_used": [{"path": f"detect_secrets.filters.heuristic.{name}"} for name in _FILTERS],
}
_ONE_AT_A_TIME = threading.Lock()  # detect-secrets keeps its settings in a global

# What announces a secret by its name alone is believed only where the value can be one: words of a game are none.
WORD = re.compile(r"[A-Za-zА-Яа-яЁё]*(?:[ _-][A-Za-zА-Яа-яЁё]+)*[.!?…]?|.{1,5}|\w*[{%<\[].*|.*\s.*")
# What people write where a secret is to stand.
PLACEHOLDER = re.compile(r".*(?:\.\.\.|…).*|[-x*_.]+|(?:your|my|the)[-_ ]?[a-z_ -]*(?:here)?|change[-_ ]?me", re.I)
DIGEST_NAME = re.compile(r"hash|\bsha|md5|blake|digest|checksum|commit|revision|etag|crc|fingerprint|git", re.I)
# Names that announce a secret, and how one looks: letters and digits mixed, and nothing that a pattern is made of.
CALLED_SECRET = re.compile(r"api_?key|token|secret|passw|pwd|credential", re.I)
LIKE_A_KEY = re.compile(r"(?=.*\d.*\d)(?=.*[A-Za-z])(?=.*[A-Za-z\d][A-Za-z\d]{3})[\w+/=.&!@#$%^*-]{14,}", re.ASCII)
SECRET_NAME = re.compile(r"key|token|secret|passw|auth|credential|salt", re.I)
ENCODED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}|[0-9a-fA-F]{32,}")
DIGEST = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}")


class SecretsCheck:
    """Whether the changed files are free of secrets."""

    name = NAME

    async def __call__(self, subject: base.Subject) -> changes.Verdict:
        """Scan every changed file that exists."""
        paths = [file.path for file in subject.changed if file.status != "deleted"]

        def work() -> list[tuple[str, int, str]]:
            return [(path, *row) for path in paths for row in scan(subject.root / path, base.read(subject, path))]

        findings = await asyncio.to_thread(work)
        if findings:
            lines = [f"{path}:{line}: {tell(kind)}" for path, line, kind in findings]
            return base.failed(NAME, base.count(len(findings), "secret", "secrets"), lines)
        return base.passed(NAME, "none found")


def tell(kind: str) -> str:
    """What is said of a secret: its kind and what to do."""
    return f"{kind}; remove it, and replace it where it is valid"


def scan(place: Path, content: bytes) -> list[tuple[int, str]]:
    """Look for secrets in one file. Blocks.

    Args:
        place: where it lies.
        content: what it holds.

    Returns:
        Lines and kinds, in order.
    """
    text = content.decode("utf-8", "replace")
    lines = text.split("\n")
    found = {(number, kind) for number, line in enumerate(lines, 1) for kind in _kinds(line)}
    pieces = pieces_of(text) if place.suffix == ".py" else [*enumerate(lines, 1)]
    found |= {(line, kind) for line, piece in pieces for kind in (*_kinds(piece), *_encoded(piece))}
    if place.suffix == ".py":
        found |= {(line, "Secret Keyword") for line, name, value in named(text) if is_secret(name, value)}
    known = {line for line, _ in found}
    if len(lines) <= characters.MAX_LINES:  # longer files are refused, and would keep the detectors busy for long
        found |= {row for row in _detected(place, lines) if row[0] not in known}
    return sorted(found)


def is_secret(name: str, value: str) -> bool:
    """Whether a text is a secret, going by what it is called and how it looks."""
    return (
        CALLED_SECRET.search(name) is not None
        and LIKE_A_KEY.fullmatch(value) is not None
        and not PLACEHOLDER.fullmatch(value)
    )


def _kinds(text: str) -> Iterator[str]:
    for kind, pattern in OWN.items():
        if pattern.search(text):
            yield kind


def _encoded(text: str, depth: int = 2) -> Iterator[str]:
    """Secrets that are written in base64 or as hexadecimal digits."""
    for match in ENCODED.finditer(text) if depth else ():
        word = match[0]
        for read in (bytes.fromhex, _base64, base64.b32decode):
            try:
                plain = read(word).decode("ascii")
            except (ValueError, binascii.Error):
                continue
            yield from (*_kinds(plain), *_encoded(plain, depth - 1))


def _base64(word: str) -> bytes:
    return base64.b64decode(
        word.rstrip("=") + "=" * (-len(word.rstrip("=")) % 4), altchars=b"-_" if set("-_") & set(word) else None
    )


def _detected(place: Path, lines: list[str]) -> Iterator[tuple[int, str]]:
    """What the detectors of detect-secrets find, without what is plainly none."""
    from detect_secrets import settings  # loads some thirty modules, and only a bot that evolves needs them
    from detect_secrets.core import scan as detector

    with _ONE_AT_A_TIME, settings.transient_settings(_SETTINGS):
        rows = list(detector.scan_file(str(place)))
    is_about_digests = place.name.startswith("test_") and any(DIGEST_NAME.search(line) for line in lines)
    for row in rows:
        value, line = row.secret_value or "", lines[row.line_number - 1] if row.line_number <= len(lines) else ""
        if row.type == "Secret Keyword" and (WORD.fullmatch(value) or PLACEHOLDER.fullmatch(value)):
            continue
        if "High Entropy" in row.type and _is_no_secret(value, line, is_about_digests):
            continue
        yield row.line_number, row.type


def _is_no_secret(value: str, line: str, is_about_digests: bool) -> bool:
    """Whether a text that looks random is a row of characters, or a digest that is called one."""
    letters = value.lower()
    is_row = len(set(letters)) == len(letters) and len(letters) > 8
    is_path = value.count("/") > 2 and value.startswith(("/", "http"))
    is_named = (is_about_digests or bool(DIGEST_NAME.search(line))) and not SECRET_NAME.search(line)
    return is_row or is_path or _is_text(value) or (is_named and bool(DIGEST.fullmatch(value)))


def _is_text(value: str) -> bool:
    """Whether hexadecimal digits stand for words."""
    try:
        plain = bytes.fromhex(value).decode("ascii")
    except ValueError:
        return False
    return plain.isprintable() and " " in plain
