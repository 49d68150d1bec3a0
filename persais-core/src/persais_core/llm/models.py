"""One door to whichever model is configured: any OpenAI-compatible server.

Every call is booked (tokens, cost, for whom) before its answer is used, also one whose answer turns out unusable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import structlog

from persais_core import errors
from persais_core.db.engine import Database
from persais_core.settings import Settings

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, ToolCall, ToolMessage
    from langchain_core.runnables import Runnable
    from langchain_core.tools import StructuredTool

    from persais_core.llm.client import Client

log = structlog.get_logger(__name__)

TIMEOUT = 90.0  # seconds for one answer
MAX_TOOL_ROUNDS = 6
Said = tuple[Literal["system", "user", "assistant"], str]

_SPENT = (
    "select coalesce(sum(cost) filter (where change_id = %(change)s), 0.0) as by_change, "
    "coalesce(sum(cost) filter (where user_id = %(user)s and at > now() - interval '1 day'), 0.0) as by_user "
    "from persais.model_calls "
    "where change_id = %(change)s or (user_id = %(user)s and at > now() - interval '1 day')"
)
_BOOK = (
    "insert into persais.model_calls "
    "(user_id, turn_id, change_id, purpose, model, tokens_in, tokens_out, cost) values "
    "(%(user)s, %(turn)s, %(change)s, %(purpose)s, %(model)s, %(tokens_in)s, %(tokens_out)s, %(cost)s)"
)


@dataclass(frozen=True)
class Booking:
    """Whom a call is made for, and why."""

    purpose: str
    user_id: int | None = None
    turn_id: int | None = None
    change_id: int | None = None


class Models:
    """The configured models.

    Args:
        settings: which server, key and model names.
        database: where calls are booked.
        timeout_seconds: for one answer, the client library's own new tries included.
    """

    def __init__(self, settings: Settings, database: Database, *, timeout_seconds: float = TIMEOUT) -> None:
        self._settings, self._database, self._timeout = settings, database, timeout_seconds
        self._clients: dict[str, Client] = {}

    @property
    def default(self) -> str:
        """Name of the model for chat."""
        return self._settings.default_model

    @property
    def classifier(self) -> str:
        """Name of the small model that routes."""
        return self._settings.classifier_model or self.default

    @property
    def coder(self) -> str:
        """Name of the model that plans and writes code."""
        return self._settings.coder_model or self.default

    async def warm(self) -> None:
        """Import the client library in a thread, so that the first question does not wait for it."""
        await asyncio.to_thread(self._client, self.default)

    async def ask(
        self,
        messages: Sequence[Said],
        booking: Booking,
        *,
        model: str | None = None,
        tools: Sequence[StructuredTool] = (),
    ) -> str:
        """Ask, let the model call tools where it wants to, and return the text of its answer.

        Args:
            messages: (role, text), oldest first.
            booking: whom the tokens and the cost are booked to.
            model: a name of the server's; the default model where none is given.
            tools: what the model may call; at most `MAX_TOOL_ROUNDS` times.

        Raises:
            ModelUnavailableError: the server is down, slow, refuses the key, or answers something else.
            ModelError: the model answered nothing, or went on calling tools.
        """
        name = model or self.default
        known = self._clients.get(name)
        client = known if known is not None else await asyncio.to_thread(self._client, name)
        runnable = client.bind_tools(list(tools)) if tools else client
        by_name = {tool.name: tool for tool in tools}
        said: list[Any] = [(role, text) for role, text in messages]
        for _ in range(MAX_TOOL_ROUNDS):
            await self.check_budget(booking)
            answer = await self._invoke(runnable, said, name)
            await self._book(name, booking, answer)
            if not answer.tool_calls:
                if not answer.text.strip():
                    raise errors.ModelError("the model answered nothing at all; ask again")
                return str(answer.text)
            said.append(answer)
            said += [await _called(by_name, call) for call in answer.tool_calls]
        raise errors.ModelError(
            "the model went on calling its tools and never answered; ask in other words", key="model-tools"
        )

    async def _invoke(self, client: Runnable[Any, AIMessage], messages: list[Any], name: str) -> AIMessage:
        """One request; the client library's failures in our words."""
        import openai

        try:
            async with asyncio.timeout(self._timeout):
                return await client.ainvoke(messages)
        except openai.AuthenticationError as error:
            raise errors.ModelUnavailableError(
                "the model's server refuses the key; check OPENROUTER_API_KEY or LLM_API_KEY", key="model-key"
            ) from error
        except openai.NotFoundError as error:
            raise errors.ModelUnavailableError(
                f"the model's server knows no model {name}; check DEFAULT_MODEL", key="model-name", model=name
            ) from error
        except openai.RateLimitError as error:
            raise errors.ModelUnavailableError(
                "the model's server says that we ask too often; try again soon", key="model-busy"
            ) from error
        except (openai.APITimeoutError, TimeoutError) as error:
            raise errors.ModelUnavailableError(
                f"the model did not answer within {self._timeout:g} s", key="model-slow", seconds=f"{self._timeout:g}"
            ) from error
        except openai.APIConnectionError as error:
            raise errors.ModelUnavailableError(
                "the model's server cannot be reached; check the network and LLM_BASE_URL", key="model-away"
            ) from error
        except openai.APIStatusError as error:
            raise errors.ModelUnavailableError(
                f"the model's server failed with status {error.status_code}",
                key="model-failed",
                status=str(error.status_code),
            ) from error
        except (openai.OpenAIError, ValueError, TypeError, LookupError, AttributeError) as error:
            # langchain reads whatever came with status 200 as an answer; junk breaks it in any of these ways
            log.warning("unusable answer of the model's server", error_type=type(error).__name__)
            raise errors.ModelUnavailableError(
                "the model's server answered something that is no answer", key="model-junk"
            ) from error

    async def _book(self, name: str, booking: Booking, answer: AIMessage) -> None:
        usage: dict[str, Any] = dict(answer.usage_metadata or {})
        cost = (answer.response_metadata.get("token_usage") or {}).get("cost")
        dollars = float(cost) if isinstance(cost, (int, float)) else 0.0  # servers other than OpenRouter name none
        await self.book(name, booking, usage.get("input_tokens", 0), usage.get("output_tokens", 0), dollars)

    def _client(self, name: str) -> Client:
        if name not in self._clients:
            from persais_core.llm.client import Client

            self._clients[name] = Client(
                model=name,
                base_url=self._settings.model_url,
                api_key=lambda: self._settings.model_key,
                use_responses_api=False,  # else a name with "codex" in it goes to another endpoint
                max_retries=2,
                timeout=self._timeout,
                default_headers={"X-Title": "Persais"},
            )
        return self._clients[name]

    async def check_budget(self, booking: Booking) -> float:
        """What may still be spent on a booking, in US dollars.

        Raises:
            BudgetError: nothing; names the setting that says so.
        """
        settings = self._settings
        left = float("inf")
        if booking.change_id is None and booking.user_id is None:
            return left
        values = {"change": booking.change_id, "user": booking.user_id}
        [spent] = await self._database.run(_SPENT, values)
        if booking.change_id is not None:
            left = settings.max_cost_per_change - spent["by_change"]
            if left <= 0:
                raise errors.BudgetError(
                    f"this change has spent ${spent['by_change']:.2f} on models, and MAX_COST_PER_CHANGE allows no more"
                )
        if booking.user_id is not None:
            left = min(left, settings.max_cost_per_day - spent["by_user"])
            if left <= 0:
                raise errors.BudgetError(
                    f"${spent['by_user']:.2f} were spent on models in 24 hours, and MAX_COST_PER_DAY allows no more"
                )
        return left

    async def book(self, name: str, booking: Booking, tokens_in: int, tokens_out: int, cost: float) -> None:
        """Note tokens and cost (US dollars) of a call, also one that somebody else made, such as the coder."""
        await self._database.run(
            _BOOK,
            {
                "user": booking.user_id,
                "turn": booking.turn_id,
                "change": booking.change_id,
                "purpose": booking.purpose,
                "model": name,
                "tokens_in": tokens_in,
                "tokens_out": tokens_out,
                "cost": cost,
            },
        )


async def _called(tools: dict[str, StructuredTool], call: ToolCall) -> ToolMessage:
    """What a tool returned, or why it did not; the model reads both."""
    from langchain_core.messages import ToolMessage

    tool = tools.get(call["name"])
    try:
        result = await tool.ainvoke(call["args"]) if tool else f"there is no tool {call['name']}"
    except (errors.PersaisError, ValueError, TypeError) as error:
        result = f"{type(error).__name__}: {error}"
    return ToolMessage(content=str(result)[:20_000], tool_call_id=call["id"] or "")
