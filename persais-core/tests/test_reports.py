"""Reports of errors: what they hold, and above all what they do not."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from persais_core import reports
from persais_core.security.redact import Redactor

sentry_sdk = pytest.importorskip("sentry_sdk")
from sentry_sdk.transport import Transport  # noqa: E402

DSN = "http://public@127.0.0.1:1/1"
SECRET = "s3cret-of-this-bot"


class Kept(Transport):  # type: ignore[misc]
    """Sends nothing, and keeps all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Any) -> None:
        if (event := envelope.get_event()) is not None:
            self.events.append(event)


@pytest.fixture
def kept() -> Iterator[Kept]:
    transport = Kept()
    assert reports.begin(DSN, Redactor([SECRET]), release="abc123", transport=transport)
    yield transport
    sentry_sdk.get_client().close()
    sentry_sdk.init()


def test_a_report_holds_the_error_and_neither_values_nor_secrets(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    private = "-".join(("what", "Ann", "wrote"))  # the lines of the program itself are in a report
    monkeypatch.setenv("SOMETHING_PRIVATE", private)
    log = logging.getLogger("persais_core.somewhere")
    log.info("a line before it: %s", private)
    try:
        raise ValueError(f"{len(private)} characters could not be sent with {SECRET}")
    except ValueError:
        log.exception("an agent broke", extra={"said": private})
    [event] = kept.events
    whole = json.dumps(event)
    assert "ValueError" in whole
    assert "characters could not be sent" in whole
    assert event["release"] == "abc123"
    assert SECRET not in whole
    assert private not in whole
    for absent in ("server_name", "modules", "request", "user", "breadcrumbs"):
        assert absent not in event


def test_the_same_error_is_reported_once(kept: Kept) -> None:
    log = logging.getLogger("persais_core.somewhere")
    error = RuntimeError("again")
    for _ in range(2):
        log.error("broke", exc_info=error)
    assert len(kept.events) == 1
