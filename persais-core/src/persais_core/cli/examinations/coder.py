"""aider's own environment."""

from __future__ import annotations

from persais_core import errors
from persais_core.cli.examinations import Finding, Patient, ill, look, well
from persais_core.coders.aider import environment


async def examine(patient: Patient) -> list[Finding]:
    """See whether it is there and whole."""
    venv = patient.config.coder_venv
    if environment.is_ready(venv):
        return [well("Coder", f"aider {environment.VERSION} in {venv}")]
    try:
        await environment.find_python()
    except errors.CoderError as error:
        return [ill("Coder", "aider cannot be installed", str(error))]
    state = "is not whole, or of another version" if venv.exists() else "is not installed yet"
    advice = (
        f"the next start of the bot fetches it (about {environment.SIZE} MB); to do it now: persais doctor --repair"
    )
    return [look("Coder", f"aider {state} ({venv})", advice)]
