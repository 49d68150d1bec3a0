"""What can be set, and what is said when it cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from persais_core import errors, settings
from persais_core.settings import Settings


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment and a working directory without any of our settings."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_a_newcomer_needs_to_set_nothing(tmp_path: Path) -> None:
    given = settings.load()
    assert (given.database_url, given.telegram_bot_token, given.model_url, given.port) == (None, None, None, 3000)
    assert given.persais_home == tmp_path / ".persais"
    assert given.pages_url == "http://127.0.0.1:3000"
    assert not given.holds_secrets
    assert given.secrets == ()


def test_the_environment_wins_over_the_file(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=4000\nDEFAULT_MODEL=from-file\nSOMETHING_ELSE=1\n")
    bare.setenv("PORT", "5000")
    given = settings.load()
    assert (given.port, given.default_model) == (5000, "from-file")


def test_the_file_lies_in_the_given_folder_or_counts_for_nothing(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / ".env").write_text("PORT=4000\nDEFAULT_MODEL=from-file\n")
    assert settings.load(project).port == 4000
    assert settings.load().port == 3000
    assert settings.load(project, _env_file=None).port == 3000
    bare.setenv("PORT", "5000")
    child = settings.child_environment(project, NEW="1")
    assert (child["PORT"], child["DEFAULT_MODEL"], child["NEW"]) == ("5000", "from-file", "1")


def test_an_empty_variable_counts_as_unset(bare: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "DATABASE_URL", "APP_BASE_URL", "ALLOWED_USER_IDS", "LLM_BASE_URL"):
        bare.setenv(name, "")
    given = settings.load()
    assert (given.port, given.database_url, given.app_base_url, given.allowed_user_ids) == (
        3000,
        None,
        None,
        frozenset(),
    )


@pytest.mark.parametrize("text", ["1,2,3", "1 2 3", " 1, 2 ,3 ", "1,,2,3", "3 2 1"])
def test_user_ids_are_read_in_every_usual_spelling(bare: pytest.MonkeyPatch, text: str) -> None:
    bare.setenv("ALLOWED_USER_IDS", text)
    bare.setenv("ADMIN_USER_IDS", "7000000000")
    given = settings.load()
    assert (given.allowed_user_ids, given.admin_user_ids) == ({1, 2, 3}, {7_000_000_000})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PORT", "abc", "a whole number from 0 to 65535"),
        ("PORT", "99999", "a whole number from 0 to 65535"),
        ("BATCH_DEBOUNCE", "6", "a number from 0 to 5"),
        ("MAX_COST_PER_DAY", "-1", "a number, 0 or more"),
        ("CODER_TIMEOUT", "0", "a number above 0"),
        ("LOG_CONTENT", "maybe", "true or false"),
        ("ALLOWED_USER_IDS", "@ann", "numbers with commas between them"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_with_its_place_and_what_is_allowed(
    bare: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, allowed: str
) -> None:
    (tmp_path / ".env").write_text(f"{name}={value}\n")
    with pytest.raises(errors.SettingsError) as caught:
        settings.load(tmp_path)
    assert str(caught.value) == f"{name}={value} in {tmp_path / '.env'}: must be {allowed}"
    bare.setenv(name, value)
    with pytest.raises(errors.SettingsError) as caught:
        settings.load(tmp_path)
    assert str(caught.value) == f"{name}={value} in the environment: must be {allowed}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLM_BASE_URL", "SECRETWORD.example.org"),
        ("APP_BASE_URL", "ftp://SECRETWORD"),
        ("TELEGRAM_API_URL", "SECRETWORD"),
        ("TELEGRAM_WEBHOOK_SECRET", "SECRETWORD"),
        ("TELEGRAM_BOT_TOKEN", "SECRETWORD"),
        ("DATABASE_URL", "mysql://SECRETWORD"),
        ("DATABASE_DIRECT_URL", "SECRETWORD"),
        ("ADMIN_USER_IDS", "123456789:SECRETWORD-of-a-bot"),
        ("PORT", "SECRETWORD" * 3),
    ],
)
def test_what_may_be_or_hold_a_secret_is_never_shown(bare: pytest.MonkeyPatch, name: str, value: str) -> None:
    bare.setenv(name, value)
    with pytest.raises(errors.SettingsError, match=f"{name} in the environment: must") as caught:
        settings.load()
    assert "SECRETWORD" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tokens_and_addresses_of_the_usual_form_are_taken(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("TELEGRAM_BOT_TOKEN", "123456789:AAE-x_y")
    for address in ("postgresql://u:p@db/x", "postgres://db/x", "postgresql://postgres:@/x?host=/tmp/s"):
        bare.setenv("DATABASE_URL", address)
        assert settings.load().database_url


def test_where_a_setting_comes_from_is_known(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert settings.origin("PORT", tmp_path) == ""
    (tmp_path / ".env").write_text("PORT=\n")
    assert settings.origin("PORT", tmp_path) == ""
    (tmp_path / ".env").write_text("port=4000\n")
    assert settings.origin("PORT", tmp_path) == f"in {tmp_path / '.env'}"
    bare.setenv("PORT", "5000")
    assert settings.origin("PORT", tmp_path) == "in the environment"


def test_misspelt_names_are_found_and_other_peoples_are_not(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "OPENROUTER_APIKEY=x\nTELEGRAM_TOKEN=x\nadmin_ids=1\nFLY_SOMETHING=1\nDEFAULT_MODEL=x\nport=1\nNOTE=mine\n"
    )
    bare.setenv("SENTRY_DNS", "x")
    bare.setenv("GITHUB_ACTIONS", "x")
    assert [str(stranger) for stranger in settings.strangers(tmp_path)] == [
        "OPENROUTER_APIKEY in .env is no setting; did you mean OPENROUTER_API_KEY?",
        "TELEGRAM_TOKEN in .env is no setting; did you mean TELEGRAM_BOT_TOKEN?",
        "admin_ids in .env is no setting; did you mean ADMIN_USER_IDS?",
        "FLY_SOMETHING in .env is no setting; see .env.example for the names",
        "SENTRY_DNS in the environment is no setting; did you mean SENTRY_DSN?",
    ]
    bare.setenv("SENTRY_DSN", "x")
    assert not any(stranger.name == "SENTRY_DNS" for stranger in settings.strangers(tmp_path))


def test_all_that_is_wrong_is_told_at_once(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("PORT", "x")
    bare.setenv("LLM_BASE_URL", "x")
    with pytest.raises(errors.SettingsError, match=r"LLM_BASE_URL.*PORT|PORT.*LLM_BASE_URL"):
        settings.load()


def test_a_webhook_needs_its_secret(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("APP_BASE_URL", "https://bot.example.org/")
    with pytest.raises(errors.SettingsError, match="TELEGRAM_WEBHOOK_SECRET"):
        settings.load()
    bare.setenv("TELEGRAM_WEBHOOK_SECRET", "x" * 32)
    assert settings.load().pages_url == "https://bot.example.org"


@pytest.mark.parametrize("secret", ["short", "x" * 31, "x" * 257, "x" * 40 + " ", "é" * 40])
def test_a_secret_that_can_be_guessed_or_not_be_sent_is_refused_without_being_told(
    bare: pytest.MonkeyPatch, secret: str
) -> None:
    bare.setenv("TELEGRAM_WEBHOOK_SECRET", secret)
    with pytest.raises(
        errors.SettingsError, match="TELEGRAM_WEBHOOK_SECRET in the environment: must be 32 to 256"
    ) as caught:
        settings.load()
    assert secret not in str(caught.value)


def test_home_is_absolute_wherever_a_child_starts(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("PERSAIS_HOME", "here/../there")
    assert settings.load().persais_home == tmp_path / "there"
    bare.setenv("HOME", str(tmp_path))
    bare.setenv("PERSAIS_HOME", "~/bots")
    assert settings.load().persais_home == tmp_path / "bots"


@pytest.mark.parametrize(
    ("given", "url", "key"),
    [
        ({}, None, "none"),
        ({"openrouter_api_key": "or-key"}, settings.OPENROUTER_URL, "or-key"),
        ({"llm_base_url": "http://127.0.0.1:1/v1/"}, "http://127.0.0.1:1/v1", "none"),
        ({"llm_base_url": "http://127.0.0.1:1/v1", "llm_api_key": "own"}, "http://127.0.0.1:1/v1", "own"),
        # The key of one service is never sent to another.
        ({"llm_base_url": "http://127.0.0.1:1/v1", "openrouter_api_key": "or-key"}, "http://127.0.0.1:1/v1", "none"),
    ],
)
def test_the_model_is_asked_at_its_address_with_its_own_key(given: dict[str, str], url: str | None, key: str) -> None:
    made = settings.load(**given)
    assert (made.model_url, made.model_key) == (url, key)


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ({}, False),
        ({"telegram_bot_token": "77:REAL"}, True),
        ({"telegram_bot_token": "77:LOCAL", "telegram_api_url": "http://127.0.0.1:9"}, False),
        ({"openrouter_api_key": "key"}, True),
        ({"llm_base_url": "https://api.example.org/v1", "llm_api_key": "key"}, True),
        ({"llm_base_url": "http://127.0.0.1:9/v1", "llm_api_key": "placeholder"}, False),
        ({"llm_base_url": "http://localhost:11434/v1", "llm_api_key": "placeholder"}, False),
        ({"database_url": "postgresql://postgres:x@/postgres?host=/tmp/s"}, False),
        ({"database_url": "postgresql://me:x@db.example.org/bot"}, True),
    ],
)
def test_real_secrets_are_told_from_local_stand_ins(given: dict[str, str], holds: bool) -> None:
    assert settings.load(**given).holds_secrets is holds


def test_secrets_are_listed_for_redaction_and_never_shown(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("TELEGRAM_BOT_TOKEN", "77:SECRETWORD")
    bare.setenv("DATABASE_URL", "postgresql://me:SECRETWORD@h/x")
    bare.setenv("LLM_API_KEY", "SECRETWORD")
    given = settings.load()
    assert set(given.secrets) == {"77:SECRETWORD", "postgresql://me:SECRETWORD@h/x", "SECRETWORD"}
    assert "SECRETWORD" not in repr(given)
    assert "SECRETWORD" not in str(given)


def test_a_child_of_ours_gets_this_environment_with_changes(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("PORT", "4000")
    child = settings.child_environment(PORT="5000", NEW="1")
    assert (child["PORT"], child["NEW"], "PATH" in child) == ("5000", "1", True)


def test_aiders_environment_lies_at_home_unless_it_is_shared(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert settings.load().coder_venv == tmp_path / ".persais" / "aider-venv"
    bare.setenv("AIDER_VENV", str(tmp_path / "shared"))
    assert settings.load().coder_venv == tmp_path / "shared"
