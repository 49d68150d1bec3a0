"""The models: each one that is set is asked to say one word."""

from __future__ import annotations

import asyncio

import httpx

from persais_core.cli.examinations import Finding, Patient, ill, look, network, well
from persais_core.settings import Settings

WAIT = 45.0  # seconds


async def examine(patient: Patient) -> list[Finding]:
    """Ask each model for a word."""
    config = patient.config
    if config.model_url is None:
        if config.llm_api_key is not None:
            return [look("Model", "LLM_API_KEY is set without its server", "set LLM_BASE_URL, up to and including /v1")]
        return [well("Model", "no OPENROUTER_API_KEY and no LLM_BASE_URL; the offline model answers")]
    meant = [
        ("DEFAULT_MODEL", config.default_model),
        ("CLASSIFIER_MODEL", config.classifier_model),
        ("CODER_MODEL", config.coder_model),
        *(("FALLBACK_MODELS", name) for name in config.fallback_models),
    ]
    settings: dict[str, str] = {}
    for setting, name in meant:
        if name:
            settings.setdefault(name, setting)
    async with httpx.AsyncClient(timeout=WAIT, headers={"Authorization": f"Bearer {config.model_key}"}) as client:
        return list(await asyncio.gather(*(_ask(client, config, name, settings[name]) for name in settings)))


async def _ask(client: httpx.AsyncClient, config: Settings, name: str, setting: str) -> Finding:
    what, is_ours = f"Model {name}", bool(config.llm_base_url)
    body = {"model": name, "messages": [{"role": "user", "content": "Say OK."}], "max_tokens": 16}
    try:
        answer = await client.post(f"{config.model_url}/chat/completions", json=body)
    except httpx.HTTPError as error:
        server = "its server" if is_ours else "OpenRouter"
        return ill(what, f"{server} {network.trouble(error)}", network.advice("LLM_BASE_URL", is_set=is_ours))
    match answer.status_code:
        case 200 if _is_completion(answer):
            return well(what, "answers")
        case 200:
            return ill(what, "what answers is no model's server", "see that LLM_BASE_URL goes up to and including /v1")
        case 401 | 403:
            key = "LLM_API_KEY" if is_ours else "OPENROUTER_API_KEY"
            return ill(
                what, "the key is refused" if config.model_key != "none" else "a key is asked for", f"check {key}"
            )
        case 402:
            return ill(what, "no credit is left", "top up the account")
        case 404 | 400:
            more = ", and that LLM_BASE_URL goes up to and including /v1" if is_ours else ""
            return ill(
                what, "the server knows no such model", f"check {setting}: the name must be the server's own{more}"
            )
        case 429:
            return ill(what, "the server takes no more requests for now", "try again later")
    return ill(what, f"the server fails with status {answer.status_code}", "try again later")


def _is_completion(answer: httpx.Response) -> bool:
    try:
        return "choices" in answer.json()
    except (ValueError, TypeError):
        return False
