"""The sandbox: whether its walls hold here, by a trial run."""

from __future__ import annotations

from persais_core.cli.examinations import Finding, Patient, ill, look, well
from persais_core.security.sandbox import Sandbox


async def examine(patient: Patient) -> list[Finding]:
    """Send the trial program in."""
    config = patient.config
    box = Sandbox(secrets_present=config.holds_secrets, allow_unsandboxed=config.allow_unsandboxed)
    found = await box.probe()
    match found.state:
        case "enforced":
            return [well("Sandbox", f"its walls hold ({', '.join(found.ways)})")]
        case "limits_only":
            return [
                look(
                    "Sandbox",
                    found.reason,
                    "nothing, if you accept that code nobody has approved runs with limits only; else use a Linux with "
                    "Landlock",
                )
            ]
    return [ill("Sandbox", found.reason, "use a Linux with Landlock; until then no change passes the checks")]
