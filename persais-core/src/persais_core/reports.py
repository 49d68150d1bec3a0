"""Reports of errors to Sentry, where an address for them is set.

A report holds the error, its traceback without the values of variables, and the identifiers that the log lines carry.
It never holds what people wrote, a request's body, the environment or the command line, and every text in it passes
through the redactor. The library is an extra: without it one line in the log says so, and nothing else changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from persais_core.security.redact import Redactor

if TYPE_CHECKING:
    from sentry_sdk.transport import Transport

log = structlog.get_logger(__name__)

DROPPED = ("request", "user", "server_name", "modules", "extra", "breadcrumbs")


def begin(dsn: str, redactor: Redactor, *, release: str, transport: Transport | None = None) -> bool:
    """Report errors from now on.

    Args:
        dsn: the project's address, with its public key.
        redactor: for every text of a report.
        release: commit that is served.
        transport: what sends the reports; the library's own where not given.

    Returns:
        Whether the library is there.
    """
    try:
        import sentry_sdk
        from sentry_sdk.integrations.atexit import AtexitIntegration
        from sentry_sdk.integrations.dedupe import DedupeIntegration
        from sentry_sdk.integrations.excepthook import ExcepthookIntegration
        from sentry_sdk.integrations.logging import LoggingIntegration
    except ImportError:
        log.warning('SENTRY_DSN is set, but no error is reported: pip install "persais-core[obs]"')
        return False

    def scrubbed(event: Any, hint: Any) -> Any:
        return redactor.value({name: value for name, value in event.items() if name not in DROPPED})

    sentry_sdk.init(
        dsn=dsn,
        release=release,
        transport=transport,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        before_send=scrubbed,
        # The others would look into requests, queries and prompts.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None),
            ExcepthookIntegration(),
            DedupeIntegration(),
            AtexitIntegration(callback=lambda pending, timeout: None),
        ],
    )
    return True
