"""Walls that hold, without which there is nothing to try here."""

from __future__ import annotations

import pytest

from persais_core.security import sandbox


@pytest.fixture(scope="module")
async def box() -> sandbox.Sandbox:
    made = sandbox.Sandbox(secrets_present=True)
    verdict = await made.probe()
    if verdict.state != "enforced":
        pytest.skip(f"no sandbox on this machine: {verdict.reason}")
    return made
