"""What the owner has set for one agent, besides its code: which model answers for it, and whether it answers at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, StringConstraints, model_validator

from persais_core.domain.chats import Value

Setting = Literal["model", "temperature", "max_tokens", "enabled", "keywords"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)

MAX_TOKENS = 100_000  # of one answer; more than any chat can show

ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$", max_length=200)]
Keyword = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=1, le=MAX_TOKENS)]


class AgentConfig(Value):
    """The settings of one agent; None is what the bot and the agent's code say.

    Args:
        model: name of the model that answers for it.
        temperature: of that model, 0 to 2.
        max_tokens: that one answer may have.
        enabled: whether it can be spoken to.
        keywords: in place of those in its code.
    """

    model: ModelName | None = None
    temperature: Temperature | None = None
    max_tokens: Tokens | None = None
    enabled: bool = True
    keywords: Annotated[tuple[Keyword, ...], Field(max_length=20)] | None = None

    @property
    def is_default(self) -> bool:
        """Whether nothing is set."""
        return self == AgentConfig()


class ConfigChange(Value):
    """What is to be set for one agent; a field that is None stays as it is.

    Args:
        agent: its name.
        default: settings that go back to what the bot and the agent's code say.
    """

    agent: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    model: ModelName | None = None
    temperature: Temperature | None = None
    max_tokens: Tokens | None = None
    enabled: bool | None = None
    keywords: Annotated[tuple[Keyword, ...], Field(max_length=20)] | None = None
    default: tuple[Setting, ...] = ()

    @model_validator(mode="after")
    def _says_something(self) -> ConfigChange:
        given = set(self._given())
        if not given and not self.default:
            raise ValueError("it sets nothing")
        if both := sorted(given & set(self.default)):
            raise ValueError(f"{both[0]} is both set and given back")
        return self

    def applied(self, before: AgentConfig) -> AgentConfig:
        """The settings after this change."""
        usual = AgentConfig()
        back: dict[str, Any] = {name: getattr(usual, name) for name in self.default}
        return before.model_copy(update=back | {name: getattr(self, name) for name in self._given()})

    def asks_otherwise(self) -> bool:
        """Whether a model is asked in another way from now on."""
        return any(name in {"model", "temperature", "max_tokens"} for name in (*self._given(), *self.default))

    def _given(self) -> Iterable[Setting]:
        return [name for name in SETTINGS if getattr(self, name) is not None]
