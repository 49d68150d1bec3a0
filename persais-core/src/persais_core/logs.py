"""One log: JSON lines on stdout, ours and the libraries', with every known secret taken out."""

from __future__ import annotations

import logging
import sys

import structlog

from persais_core.security.redact import Redactor

QUIET = (
    "httpx", "httpx2", "httpcore", "httpcore2", "telegram", "openai", "procrastinate", "alembic", "aiorate_limiter",
    "uvicorn",
)  # fmt: skip


def configure(redactor: Redactor) -> None:
    """Set up structlog and the standard library's logging, once per process."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redactor,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redactor,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # httpx writes whole URLs, the bot's token among them; the others tell more than anybody reads
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # A flood limit is expected, and the outbox says in one line what it does about it; this would be a traceback.
    logging.getLogger("telegram.ext.AIORateLimiter").setLevel(logging.CRITICAL)
