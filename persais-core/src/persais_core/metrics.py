"""What can be counted about a running bot, for Prometheus.

Events (turns, calls of models) are counted here as they happen, by one object that `app/parts.py` makes and hands to
whoever counts; depths (what waits) are asked of the database when somebody looks. No label ever holds what a person
wrote: they are names of agents, models, jobs and states.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from persais_core.db.engine import Database

PROXIED = frozenset({"forwarded", "via", "x-forwarded-for", "x-real-ip", "fly-client-ip"})
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)  # upper ends of the histogram's buckets

State = Literal["closed", "half-opened", "opened"]
_STATES: dict[State, int] = {"closed": 0, "half-opened": 1, "opened": 2}

_WAITING = (
    "select 'job' as what, task_name as label, count(*) as number from procrastinate_jobs "
    "where status in ('todo', 'doing') group by task_name "
    "union all select 'message', state, count(*) from persais.outbox where state in ('queued', 'sending') "
    "group by state "
    "union all select 'dead', kind, count(*) from persais.dead_letters where state = 'waiting' group by kind"
)


def route(text: Callable[[], Awaitable[bytes]], token: str | None) -> Route:
    """`GET /metrics`, for those who may read it; everybody else is told that there is no such page.

    Args:
        text: gives the page.
        token: what must be sent as a bearer token. None: whoever asks from this machine or its private network, and
            neither through a proxy, which would be the whole world, nor as a page in a browser.
    """

    def is_allowed(request: Request) -> bool:
        if token is not None:
            given = request.headers.get("authorization", "").encode("latin-1", "replace")
            return hmac.compare_digest(given, f"Bearer {token}".encode())
        if PROXIED & set(request.headers.keys()) or request.headers.get("sec-fetch-site", "none") != "none":
            return False
        return request.client is not None and _is_near(request.client.host)

    async def get_metrics(request: Request) -> Response:
        if not is_allowed(request):
            return Response("Not found", 404)
        return Response(await text(), media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})

    return Route("/metrics", get_metrics, methods=["GET"])


def _is_near(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_private


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        # Not the library's global registry: a test, or a process, may hold more than one bot.
        self.registry = CollectorRegistry()
        self._turns = Counter("persais_turns", "Turns that were answered", ("agent", "outcome"), registry=self.registry)
        self._seconds = Histogram(
            "persais_turn_seconds",
            "From taking a turn up until its answer is stored",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._calls = Counter("persais_model_calls", "Requests to models", ("model", "outcome"), registry=self.registry)
        self._tokens = Counter(
            "persais_model_tokens", "Tokens of models", ("model", "direction"), registry=self.registry
        )
        self._cost = Counter(
            "persais_model_cost_dollars", "US dollars spent on models, as far as known", ("model",),
            registry=self.registry,
        )  # fmt: skip
        self._send_failures = Counter(
            "persais_send_failures", "Messages that could not be sent at once", ("cause",), registry=self.registry
        )
        self._breakers = Gauge(
            "persais_breaker_state",
            "Whether an outside service is left alone after failures: 0 no, 1 being tried, 2 yes",
            ("service",),
            registry=self.registry,
        )
        self._jobs = Gauge("persais_queue_jobs", "Jobs that wait or run", ("task",), registry=self.registry)
        self._outbox = Gauge("persais_outbox_messages", "Messages not sent yet", ("state",), registry=self.registry)
        self._dead = Gauge("persais_dead_letters", "What was given up and waits", ("kind",), registry=self.registry)

    def turn(self, *, agent: str, outcome: str, seconds: float) -> None:
        """Count one turn.

        Args:
            agent: name of the one that answered, or `none`.
            outcome: answered, command, preview, broke (the agent) or failed (we).
            seconds: from taking it up until its answer was stored.
        """
        self._turns.labels(agent, outcome).inc()
        self._seconds.observe(seconds)

    def model_call(self, model: str, outcome: str) -> None:
        """Count one request to a model: answered, failed, or resting where it was left alone."""
        self._calls.labels(model, outcome).inc()

    def model_usage(self, model: str, *, tokens_in: int, tokens_out: int, dollars: float) -> None:
        """Count what a call used."""
        self._tokens.labels(model, "in").inc(max(0, tokens_in))
        self._tokens.labels(model, "out").inc(max(0, tokens_out))
        self._cost.labels(model).inc(max(0.0, dollars))

    def send_failure(self, cause: str) -> None:
        """Count a message that was not sent at the first try, by the kind of error."""
        self._send_failures.labels(cause).inc()

    def breaker(self, service: str, state: State) -> None:
        """Note the state of a circuit breaker."""
        self._breakers.labels(service).set(_STATES[state])

    async def text(self, database: Database | None) -> bytes:
        """All of it, as Prometheus reads it.

        Args:
            database: asked for what waits; None: nothing is known about that, and those figures are left out.
        """
        for gauge in (self._jobs, self._outbox, self._dead):
            gauge.clear()
        gauges = {"job": self._jobs, "message": self._outbox, "dead": self._dead}
        for row in await database.run(_WAITING, {}) if database else ():
            gauges[row["what"]].labels(row["label"]).set(row["number"])
        return generate_latest(self.registry)
