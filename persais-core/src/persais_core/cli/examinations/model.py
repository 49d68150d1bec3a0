"""The models: each one that is set is asked to say one word."""

from __future__ import annotations

import asyncio

import httpx

from persais_core.cli.examinations import Finding, Patient, ill, well


async def examine(patient: Patient) -> list[Finding]:
    """Ask each model for a word."""
    config = patient.config
    if config.model_url is None:
        return [well("Model", "no key; the offline model answers")]
    names = dict.fromkeys(
        name
        for name in (config.default_model, config.classifier_model, config.coder_model, *config.fallback_models)
        if name
    )
    async with httpx.AsyncClient(timeout=45, headers={"Authorization": f"Bearer {config.model_key}"}) as client:
        return list(await asyncio.gather(*(_ask(client, config.model_url, name) for name in names)))


async def _ask(client: httpx.AsyncClient, url: str, name: str) -> Finding:
    body = {"model": name, "messages": [{"role": "user", "content": "Say OK."}], "max_tokens": 16}
    try:
        answer = await client.post(f"{url}/chat/completions", json=body)
    except httpx.HTTPError as error:
        return ill(f"Model {name}", f"cannot be reached ({type(error).__name__})", "check the network and LLM_BASE_URL")
    match answer.status_code:
        case 200:
            return well(f"Model {name}", "answers")
        case 401 | 403:
            return ill(f"Model {name}", "the key is refused", "check OPENROUTER_API_KEY or LLM_API_KEY")
        case 402:
            return ill(f"Model {name}", "no credit is left", "top up the account")
        case 404 | 400:
            return ill(f"Model {name}", "the server knows no such model", "check its name at the provider")
        case 429:
            return ill(f"Model {name}", "the server takes no more requests for now", "try again later")
    return ill(f"Model {name}", f"the server fails with status {answer.status_code}", "try again later")
