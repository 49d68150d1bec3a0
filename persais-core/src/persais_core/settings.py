"""The only reader of the environment.

Every setting has a working default for a newcomer: without a token the local Telegram emulator is used, without a key
the offline model, without a database address the embedded Postgres. The bot itself has no offline mode: it is told
other base URLs and runs the same code.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import dotenv
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from persais_core import errors

TELEGRAM_API_URL = "https://api.telegram.org"
OPENROUTER_URL = "https://openrouter.ai/api/v1"
GITHUB_API_URL = "https://api.github.com"

LONGEST_SHOWN = 20  # characters of a value that cannot be used; longer ones may be a key in the wrong place
OURS = ("TELEGRAM_", "GITHUB_", "GIT_", "FLY_", "LLM_", "OPENROUTER_", "DATABASE_", "PERSAIS_", "MAX_COST")
"""How names begin that somebody writes into `.env` for us."""

# LangGraph reads this when it is imported: a checkpoint then revives plain values alone, never a name of code.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")


class Settings(BaseSettings):
    """What can be set by environment variables or a `.env` file; names as in the field, upper-cased."""

    model_config = SettingsConfigDict(env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True)

    database_url: SecretStr | None = None
    """Postgres with pgvector; unset: the embedded one."""
    database_direct_url: SecretStr | None = None
    """For LISTEN, migrations and agents' records, where `database_url` goes through a pooler."""

    telegram_bot_token: SecretStr | None = None
    """From @BotFather; unset: the local emulator."""
    telegram_api_url: str = TELEGRAM_API_URL
    telegram_webhook_secret: SecretStr | None = None
    app_base_url: str | None = None
    """Public https address; set: webhook, unset: polling."""
    allowed_user_ids: Annotated[frozenset[int], NoDecode] = frozenset()
    admin_user_ids: Annotated[frozenset[int], NoDecode] = frozenset()

    openrouter_api_key: SecretStr | None = None
    """Unset, with no `llm_base_url`: the offline model."""
    llm_base_url: str | None = None
    """Any OpenAI-compatible server, up to and including /v1."""
    llm_api_key: SecretStr | None = None
    default_model: str = "anthropic/claude-sonnet-4.5"
    classifier_model: str | None = None
    coder_model: str | None = None
    fallback_models: Annotated[tuple[str, ...], NoDecode] = ()
    """Models of the same server that are asked, in this order, where the one that was meant gives no answer."""
    model_prices: Annotated[dict[str, tuple[float, float]], NoDecode] = {}
    """US dollars per million tokens in and out, by model, for servers that do not tell what a call cost."""

    git_remote_url: str | None = None
    """https address of the repository that evolves, such as https://github.com/you/my-bot.git; unset: one in a folder
    of this computer."""
    github_token: SecretStr | None = None
    """For `git_remote_url`; needs contents, pull requests and commit statuses of that repository, read and write."""
    github_api_url: str = GITHUB_API_URL
    """Another one for GitHub Enterprise, up to and including /api/v3."""

    fly_app_name: str | None = None
    """Name of the app at Fly.io, which sets it itself; merging is then deploying, and `persais serve` follows it."""

    port: int = Field(default=3000, ge=0, le=65535)
    batch_debounce: float = Field(default=0.7, ge=0, le=5)
    """Seconds of quiet after which what was said in a chat is answered as one turn; 0: each message by itself."""
    persais_home: Path = Path(".persais")
    aider_venv: Path | None = None
    """aider's own environment; unset: under `persais_home`. Several homes may share one."""
    allow_unsandboxed: bool = False
    coder_timeout: float = Field(default=300.0, gt=0)
    """Seconds for one run of the coder."""
    max_cost_per_change: float = Field(default=2.0, ge=0)
    """US dollars that one change may spend on models."""
    max_cost_per_day: float = Field(default=10.0, ge=0)
    """US dollars that one user may spend on models in 24 hours."""
    watch_seconds: float = Field(default=300.0, ge=0)
    """Seconds for which a new release is watched after it took over, and may still be taken back."""
    send_limits: bool = True
    """Whether messages are sent at the pace that Telegram allows; off: as fast as they come, for load tests."""
    emergency_contact_ids: Annotated[frozenset[int], NoDecode] = frozenset()
    """Told when the bot is rolled back or a release is taken back; the admins, where not set."""
    metrics_token: SecretStr | None = None
    """What GET /metrics asks for as a bearer token; unset: only neighbours on this machine or network may read it."""
    log_content: bool = False
    """Whether the log may hold what people write and what they are answered."""
    sentry_dsn: SecretStr | None = None
    """Where errors are reported; needs the extra `obs`."""

    @field_validator("allowed_user_ids", "admin_user_ids", "emergency_contact_ids", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        """Accept `1, 2 3` as well as a list."""
        if isinstance(value, str):
            words = value.replace(",", " ").split()
            if not all(word.isdecimal() for word in words):
                raise ValueError("must be numbers with commas between them")
            return [int(word) for word in words]
        return value

    @field_validator("fallback_models", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Accept `a, b c` as well as a list."""
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("model_prices", mode="before")
    @classmethod
    def _prices(cls, value: Any) -> Any:
        """Accept `name=in/out, name=in/out` as well as a mapping."""
        if not isinstance(value, str):
            return value
        prices: dict[str, tuple[float, float]] = {}
        for entry in value.replace(",", " ").split():
            # A name may hold both signs: the last ones count.
            name, _, pair = entry.rpartition("=")
            tokens_in, slash, tokens_out = pair.partition("/")
            try:
                both = float(tokens_in), float(tokens_out)
            except ValueError:
                both = (-1.0, -1.0)
            if not (name and slash and all(0 <= price < 1e6 for price in both)):
                raise ValueError(
                    "must be a list such as vendor/model=3/15, in US dollars per million tokens in and out"
                )
            prices[name] = both
        return prices

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _strong_and_sendable(cls, value: SecretStr | None) -> SecretStr | None:
        """Whoever guesses it can say anything in anybody's name; Telegram takes these characters only."""
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_-]{32,256}", value.get_secret_value()):
            raise ValueError("must be 32 to 256 letters, digits, _ and -")
        return value

    @field_validator("telegram_bot_token")
    @classmethod
    def _token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[0-9]+:[A-Za-z0-9_-]+", value.get_secret_value()):
            raise ValueError("must be digits, a colon and letters, as @BotFather gives it")
        return value

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must be the address of a Postgres, such as postgresql://user:password@host/name")
        return value

    @field_validator("telegram_api_url", "llm_base_url", "app_base_url", "github_api_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/") if value else value

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        if self.app_base_url and not self.telegram_webhook_secret:
            raise ValueError(
                "APP_BASE_URL asks for a webhook, so TELEGRAM_WEBHOOK_SECRET must be set too "
                "(32 random characters: python -c 'import secrets; print(secrets.token_urlsafe(32))')"
            )
        if self.git_remote_url and not self.github_token:
            raise ValueError(
                "GIT_REMOTE_URL names a repository at GitHub, so GITHUB_TOKEN must be set too (a fine-grained token "
                "for it with contents, pull requests and commit statuses, read and write)"
            )
        object.__setattr__(self, "persais_home", self.persais_home.expanduser().resolve())
        return self

    @property
    def coder_venv(self) -> Path:
        """Where aider's environment lies or will be made, absolute."""
        return (self.aider_venv or self.persais_home / "aider-venv").expanduser().resolve()

    @property
    def pages_url(self) -> str:
        """Where this bot's own pages are reached."""
        return self.app_base_url or f"http://127.0.0.1:{self.port}"

    @property
    def model_url(self) -> str | None:
        """The base URL of the model's server; None: only the offline model is left."""
        if self.llm_base_url:
            return self.llm_base_url
        return OPENROUTER_URL if self.openrouter_api_key else None

    @property
    def model_key_setting(self) -> str:
        """Name of the setting that holds the key for `model_url`."""
        return "LLM_API_KEY" if self.llm_api_key or self.llm_base_url else "OPENROUTER_API_KEY"

    @property
    def model_key(self) -> str:
        """The key for `model_url`; servers without keys get a placeholder."""
        key = self.llm_api_key or (None if self.llm_base_url else self.openrouter_api_key)
        return key.get_secret_value() if key else "none"

    def prices_of(self, model: str) -> tuple[float, float] | None:
        """US dollars for one token in and for one out, where `model_prices` names this model."""
        prices = self.model_prices.get(model)
        return (prices[0] / 1e6, prices[1] / 1e6) if prices else None

    @property
    def holds_secrets(self) -> bool:
        """Whether anything is set that candidate code must not get: what opens a door beyond this computer."""
        real_bot = self.telegram_bot_token is not None and not is_loopback(self.telegram_api_url)
        real_model = bool(self.llm_api_key and self.llm_base_url) and not is_loopback(self.llm_base_url or "")
        real_forge = self.github_token is not None and not is_loopback(self.github_api_url)
        others = self.openrouter_api_key is not None or self.database_is_remote
        return real_bot or real_model or real_forge or others

    @property
    def database_is_remote(self) -> bool:
        """Whether the database is somebody else's server rather than the embedded one."""
        return self.database_url is not None and "@/" not in self.database_url.get_secret_value()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value that is set, for redaction and for the decision whether a sandbox is a must."""
        fields = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value.get_secret_value() for value in fields if isinstance(value, SecretStr))

    @property
    def written_out(self) -> dict[str, str]:
        """Every setting as text, secrets too, for whoever wants to see that one changed.

        What stands in for a service on this machine gets another address or token at each start, which is no change.
        """
        values = {}
        for name in sorted(set(type(self).model_fields) - {"port"}):
            value = getattr(self, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            if isinstance(value, frozenset):
                text = " ".join(map(str, sorted(value)))
            values[name] = "here" if is_loopback(text) else text
        if is_loopback(self.telegram_api_url):
            values["telegram_bot_token"] = "here"
        if not self.database_is_remote:
            values["database_url"] = values["database_direct_url"] = "here"
        return values


def is_loopback(url: str) -> bool:
    """Whether an address is on this computer."""
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


def child_environment(folder: Path | None = None, /, **overrides: str) -> dict[str, str]:
    """The environment for a child process that is ours and reads `Settings` again: this one's, with changes.

    Args:
        folder: its `.env` is put below the environment, since the child works elsewhere and would not see it.
    """
    written = dotenv.dotenv_values(folder / ".env") if folder else {}
    return {**{name: value for name, value in written.items() if value is not None}, **os.environ, **overrides}


def terminal_language() -> Literal["en", "ru"] | None:
    """What is spoken in the terminal in which we run; None where it names no language of ours."""
    said = (os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    match re.split(r"[_.@-]", next(filter(None, said), ""))[0].lower():
        case "en":
            return "en"
        case "ru":
            return "ru"
        case _:
            return None


def load(folder: Path = Path(), **overrides: Any) -> Settings:
    """Read the environment and the `.env` of a folder; what stands in the environment wins.

    Raises:
        SettingsError: values cannot be used; the message names each variable, where it stands, what is allowed, and
            the value where that is no secret.
    """
    given: dict[str, Any] = {"_env_file": folder / ".env", **overrides}
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [_complaint(dict(item), given["_env_file"]) for item in error.errors(include_url=False)]
        raise errors.SettingsError("; ".join(lines)) from None
    except ValueError as error:
        raise errors.SettingsError(str(error)) from None


def _complaint(item: dict[str, Any], file: Path | None) -> str:
    """What is wrong with one value, without the value of what may be or hold a secret."""
    said = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:
        return said
    field = str(item["loc"][0])
    name, value = field.upper(), str(item["input"])
    is_open = not field.endswith("_url") and "SecretStr" not in str(Settings.model_fields[field].annotation)
    shown = f"{name}={value}" if is_open and len(value) <= LONGEST_SHOWN and value.isprintable() else name
    return f"{shown}{_where(name, file)}: {_allowed(field, said)}"


def origin(name: str, folder: Path) -> str:
    """Where the value of a setting comes from: `in the environment`, or `in` and the file; empty: nobody set it.

    Args:
        name: of the variable, in capitals.
        folder: whose `.env` counts.
    """
    return _where(name, folder / ".env").strip()


def _where(name: str, file: Path | None) -> str:
    if any(key.upper() == name and value for key, value in os.environ.items()):
        return " in the environment"
    written = dotenv.dotenv_values(file) if file is not None and file.is_file() else {}
    return f" in {file}" if any(key.upper() == name and value for key, value in written.items()) else ""


def _allowed(field: str, said: str) -> str:
    """What a number or a switch may be, in words; of all else we say it ourselves."""
    about = Settings.model_fields[field]
    if about.annotation is bool:
        return "must be true or false"
    kind = {int: "a whole number", float: "a number"}.get(about.annotation)  # type: ignore[arg-type]
    if kind is None:
        return said
    limits = {
        sign: getattr(limit, sign) for limit in about.metadata for sign in ("ge", "gt", "le") if hasattr(limit, sign)
    }
    match limits:
        case {"ge": least, "le": most}:
            return f"must be {kind} from {least} to {most}"
        case {"ge": least}:
            return f"must be {kind}, {least} or more"
        case {"gt": least}:
            return f"must be {kind} above {least}"
    return f"must be {kind}"


@dataclass(frozen=True)
class Stranger:
    """A name that looks as if it were meant for us, and is no setting: what it holds counts for nothing.

    Args:
        name: as it is written.
        place: `.env`, or `the environment`.
        near: the setting whose name is nearest; None: there is no near one.
    """

    name: str
    place: str
    near: str | None

    def __str__(self) -> str:
        """One sentence for a terminal or a log."""
        return f"{self.name} in {self.place} is no setting; {self.advice}"

    @property
    def advice(self) -> str:
        """What to do about it."""
        return f"did you mean {self.near}?" if self.near else "see .env.example for the names"


def strangers(folder: Path = Path()) -> list[Stranger]:
    """Names in the `.env` of a folder that are misspelt, and those in the environment that nearly are a setting.

    The environment holds the names of many programs, so only what differs by a letter or a word counts there.
    """
    known = [name.upper() for name in Settings.model_fields]
    found = []
    for name in dotenv.dotenv_values(folder / ".env"):
        upper = name.upper()
        if upper not in known and ((near := _nearest(upper, known, 0.75)) or upper.startswith(OURS)):
            found.append(Stranger(name, ".env", near))
    told, present = {stranger.name for stranger in found}, {name.upper() for name in os.environ}
    for name in sorted(set(os.environ) - told):
        near = None if name.upper() in known else _nearest(name.upper(), known, 0.85)
        if near and near not in present:
            found.append(Stranger(name, "the environment", near))
    return found


def _nearest(name: str, known: list[str], likeness: float) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=likeness)), None)
