"""The `.env`: what stands in it and is no setting, or does not read as it was meant."""

from __future__ import annotations

import difflib
import stat

import dotenv

from persais_core import settings
from persais_core.cli.examinations import Finding, Patient, look, well

PREFIXES = ("TELEGRAM_", "GITHUB_", "GIT_", "FLY_", "LLM_", "OPENROUTER_", "DATABASE_", "PERSAIS_", "MAX_COST")


async def examine(patient: Patient) -> list[Finding]:
    """Look at the file; what cannot be used at all has kept the doctor from coming this far."""
    file = patient.root / ".env"
    if not file.is_file():
        return [well("Settings", "no .env; every setting has a working default")]
    findings = []
    known = [name.upper() for name in settings.Settings.model_fields]
    written = dotenv.dotenv_values(file)
    for name, value in written.items():
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if name not in known and (near or name.startswith(PREFIXES)):
            advice = f"write {near[0]}" if near else "see .env.example for the names"
            findings.append(look("Settings", f"{name} in .env is no setting", advice))
        elif value is None:
            findings.append(look("Settings", f"{name} in .env has no value", f"write {name}=… or remove the line"))
    if stat.S_IMODE(file.stat().st_mode) & 0o077 and patient.config.secrets:
        findings.append(look("Settings", ".env holds secrets and others may read it", "chmod 600 .env"))
    return findings or [well("Settings", f".env sets {len(written)}")]
