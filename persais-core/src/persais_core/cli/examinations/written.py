"""The settings as they are written: what is no setting, or does not read as it was meant."""

from __future__ import annotations

import stat

import dotenv

from persais_core import settings
from persais_core.cli.examinations import Finding, Patient, look, well


async def examine(patient: Patient) -> list[Finding]:
    """Look at `.env` and the environment; what cannot be used at all has kept the doctor from coming this far."""
    findings = [
        look("Settings", f"{stranger.name} in {stranger.place} is no setting", stranger.advice)
        for stranger in settings.strangers(patient.root)
    ]
    file = patient.root / ".env"
    if not file.is_file():
        return findings or [well("Settings", "there is no .env, and none is needed")]
    written = dotenv.dotenv_values(file)
    for name, value in written.items():
        if value is None:
            findings.append(look("Settings", f"{name} in .env has no value", f"write {name}=… or remove the line"))
    if stat.S_IMODE(file.stat().st_mode) & 0o077 and patient.config.secrets:
        findings.append(
            look("Settings", ".env holds secrets, and others on this computer may read it", "chmod 600 .env")
        )
    known = {name.upper() for name in settings.Settings.model_fields}
    count = sum(1 for name, value in written.items() if value and name.upper() in known)
    said = f".env holds {count} setting{'' if count == 1 else 's'}"
    return findings or [well("Settings", said)]
