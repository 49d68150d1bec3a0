"""Whether a key or password stands in the changed files. A finding names the place and the kind, never the secret."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

from persais_core.checks import base
from persais_core.domain import changes
from persais_core.security import redact

NAME = "secrets"
OWN = {
    "OpenRouter key": redact.OPENROUTER,
    "OpenAI key": redact.OPENAI,
    "Fly token": redact.FLY,
    "Neon address with password": redact.NEON,
    "Telegram bot token": redact.TELEGRAM,
}
_PLUGINS = (
    *("AWSKeyDetector", "ArtifactoryDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector"),
    *("DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector"),
    *("JwtTokenDetector", "KeywordDetector", "MailchimpDetector", "NpmDetector", "PrivateKeyDetector"),
    *("PypiTokenDetector", "SendGridDetector", "SlackDetector", "SquareOAuthDetector", "StripeDetector"),
    "TwilioKeyDetector",
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


class SecretsCheck:
    """Whether the changed files are free of secrets."""

    name = NAME

    async def __call__(self, subject: base.Subject) -> changes.Verdict:
        """Scan every changed file that exists."""
        paths = [file.path for file in subject.changed if file.status != "deleted"]
        findings = await asyncio.to_thread(lambda: sorted({row for path in paths for row in _scan(subject, path)}))
        if findings:
            lines = [
                f"{path}:{line}: {kind}; remove it, and replace it where it is valid" for path, line, kind in findings
            ]
            return base.failed(NAME, base.count(len(findings), "secret", "secrets"), lines)
        return base.passed(NAME, "none found")


def _scan(subject: base.Subject, path: str) -> Iterator[tuple[str, int, str]]:
    from detect_secrets import settings  # loads some thirty modules, and only a bot that evolves needs them
    from detect_secrets.core import scan

    text = base.read(subject, path).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        for kind, pattern in OWN.items():
            if pattern.search(line):
                yield path, number, kind
    with _ONE_AT_A_TIME, settings.transient_settings(_SETTINGS):
        for found in list(scan.scan_file(str(subject.root / path))):
            yield path, found.line_number, found.type
