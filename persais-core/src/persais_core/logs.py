"""One log on stdout, ours and the libraries', with every known secret taken out.

JSON lines, or lines for people where a person sits at the terminal. What people write is in it only with LOG_CONTENT.
"""

from __future__ import annotations

import logging
import sys

import structlog

from persais_core.security.redact import Redactor

QUIET = (
    "httpx", "httpx2", "httpcore", "httpcore2", "telegram", "openai", "procrastinate", "alembic", "uvicorn",
)  # fmt: skip


def configure(redactor: Redactor, *, human: bool = False) -> None:
    """Set up structlog and the standard library's logging, once per process.

    Args:
        redactor: takes secrets out of every line.
        human: write lines for a person at a terminal rather than JSON.
    """
    renderer = structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer(ensure_ascii=False)
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
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # httpx writes whole URLs, the bot's token among them; the others tell more than anybody reads
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
