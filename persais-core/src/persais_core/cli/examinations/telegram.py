"""Telegram: the token, and whether updates come in the way that is set."""

from __future__ import annotations

from typing import Any

import httpx

from persais_core import settings
from persais_core.cli.examinations import Finding, Patient, ill, look, network, well


async def examine(patient: Patient) -> list[Finding]:
    """Ask Telegram who we are and how it calls us."""
    config = patient.config
    if config.telegram_bot_token is None:
        return [well("Telegram", "no TELEGRAM_BOT_TOKEN; the local chat page stands in")]
    base = f"{config.telegram_api_url}/bot{config.telegram_bot_token.get_secret_value()}"
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            me = (await client.post(f"{base}/getMe")).json()
            hook = (await client.post(f"{base}/getWebhookInfo")).json()
    except (httpx.HTTPError, ValueError) as error:
        return [
            ill(
                "Telegram",
                f"{config.telegram_api_url} {network.trouble(error)}",
                network.advice("TELEGRAM_API_URL", is_set=config.telegram_api_url != settings.TELEGRAM_API_URL),
            )
        ]
    if not me.get("ok") and me.get("error_code") not in {401, 404}:
        return [ill("Telegram", f"answers {me.get('error_code')}: {me.get('description')}", "try again later")]
    if not me.get("ok"):
        return [ill("Telegram", "refuses the token", "copy TELEGRAM_BOT_TOKEN from @BotFather again")]
    name = me["result"].get("username") or me["result"].get("first_name")
    return [
        well("Telegram", f"knows the token: the bot is @{name}"),
        _updates(hook.get("result") or {}, config.app_base_url),
    ]


def _updates(hook: dict[str, Any], address: str | None) -> Finding:
    registered = hook.get("url") or ""
    if address is None:
        if registered:
            return look(
                "Updates",
                "Telegram calls a webhook, and APP_BASE_URL is not set",
                "if it runs elsewhere, do not start it here: a start here removes the webhook, and polls",
            )
        return well("Updates", "the bot asks for them (polling)")
    wanted = f"{address}/telegram/webhook"
    if not address.startswith("https://"):
        return ill(
            "Updates",
            "APP_BASE_URL is no https address",
            "Telegram calls https addresses only; put a certificate there",
        )
    if registered != wanted:
        return look("Updates", "the webhook is not registered yet", "start the bot; it does that by itself")
    if error := hook.get("last_error_message"):
        waiting = hook.get("pending_update_count", 0)
        return look(
            "Updates",
            f"Telegram says of the webhook: {error} ({waiting} waiting)",
            f"see that {wanted} can be reached from outside",
        )
    return well("Updates", "Telegram calls the webhook")
