"""Where the candidates of these tests run."""

from __future__ import annotations

import pytest

from persais_core.security import sandbox


@pytest.fixture(scope="session")
async def box() -> sandbox.Sandbox:
    """Walls as for a bot with secrets, or else the weaker ones that this machine has."""
    made = sandbox.Sandbox(secrets_present=True)
    if (await made.probe()).state != "enforced":
        made = sandbox.Sandbox(secrets_present=False)
    return made
