"""The two corpora: attacks of one technique each, and honest files as people and models write them.

A sample ends in `.txt`, so that no tool takes it for ours. `attacks/<kind>/<name>.py.txt` begins with a comment that
names the rule which must refuse it, and where the file is to stand, if not at `bot/agents/x.py`:

    # refused: schema at bot/schemas/x.py

Where the bytes are the attack, the name ends in `.escaped.txt` and they are written as in a bytes literal. Secrets are
written as `@AWS@`, and only put together here, as they would be found in the repository otherwise.
`attacks/changes/*.json` are change sets. `honest/<path>.txt` stand where their names say.
"""

from __future__ import annotations

import base64
import codecs
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import persais_core
from persais_core.checks import base, imports, paths, reviewer, secrets, single
from persais_core.domain import examples

HERE = Path(__file__).parent
RULE = re.compile(rb"# refused: ([a-z-]+)(?: at (\S+))?")
_AWS = "AKIA" + "QYLPMN5HHFPZ" + "XQ2T"
SECRETS = {
    "AWS": _AWS,
    "AWS1": _AWS[:7],
    "AWS2": _AWS[7:],
    "AWS_BACK": _AWS[::-1],
    "AWS_B64": base64.b64encode(_AWS.encode()).decode(),
    "AWS_HEX": _AWS.encode().hex(),
    "AWS_HEX_SPACED": _AWS.encode().hex(" "),
    "AWS_B32": base64.b32encode(_AWS.encode()).decode(),
    "AWS_ROT13": codecs.encode(_AWS, "rot13"),
    "AWS_NUMBERS": str(list(_AWS.encode())),
    "AWS_EVERY_SECOND": "_".join(_AWS),
    "AWS_SECRET": "wJalrXUtnFEMI" + "/K7MDENG/bPxRfiCY" + "zQ9r4TkLmN",
    "OPENAI": "sk-" + "proj-" + "Ab3xYz9Q" * 6,
    "OPENROUTER": "sk-or-" + "v1-" + "0123456789abcdef" * 4,
    "ANTHROPIC": "sk-" + "ant-api03-" + "Zx8Kq2Lm" * 6,
    "GITHUB": "ghp_" + "A1b2" * 9,
    "GITHUB1": "ghp_" + "A1b2" * 3,
    "GITHUB2": "A1b2" * 6,
    "GITHUB_PAT": "github" + "_pat_" + "11ABCDEFG0" * 5,
    "GITLAB": "glpat" + "-" + "x9Yk2LmN4pQr7StU" + "vWxy",
    "TELEGRAM": "123456789:" + "AAE" + "x4Gz" * 8,
    "SLACK": "xox" + "b-" + "1234567890-1234567890-" + "AbCdEfGhIjKl",
    "SLACK_HOOK": "https://hooks.slack" + ".com/services/T0AB12CD3/B0AB12CD3/" + "x4Gz" * 6,
    "STRIPE": "sk_" + "live_" + "4eC39HqLyjWDarjt" + "T1zdp7dc",
    "GOOGLE": "AIza" + "SyD3f4gH5jK6lM7nP8qR9sT0uV1wX2yZ3a4",
    "HF": "hf_" + "aBcDeFgH" * 5,
    "SENDGRID": "SG." + "ngeVfQFYQlKU0ufo8x5d1A" + "." + "TwL2iGABf9DHoTf09kqeF8tAmbihYzrnopKc1s5cr",
    "TWILIO": "SK" + "0123456789abcdef" * 2,
    "NPM": "npm_" + "aBcD1234" * 5,
    "FLY": "fm2_" + "lJPECAAAAAAAB" * 4,
    "JWT": "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N",
    "PEM": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "POSTGRES": "postgresql://bot:" + "q1w2e3r4@db.example.com/app",
    "REDIS": "redis://:" + "p4ssw0rd77@cache.example.com:6379/0",
    "PASSWORD": "Tr0ub4dor" + "&3xyz",
    "SENTRY": "https://" + "9f86d081884c7d65" + "9a2feaa0c55ad015@o123.ingest.sentry.io/456",
    "VK": "vk1." + "a." + "kX9vQ2mZ8rT4wY7u" * 4,
    "AZURE_SIGNATURE": "sv=2022-11-02&sig" + "=Zx8Kq2Lm" * 1 + "Zx8Kq2Lm" * 4 + "%3D",
    "UUID": "12345678-90ab-" + "cdef-1234-567890abcdef",
    "HEX": "9f86d081884c7d65" + "9a2feaa0c55ad015",
    "B64": "kX9vQ2mZ8rT4wY7uB1nE" + "6cH3jL5pS0dF+gA/iKoVqWxMzN",
}


@dataclass(frozen=True)
class Sample:
    """One file: what it is called, where it is to stand, what it holds, and the rule that refuses an attack."""

    name: str
    path: str
    content: bytes
    rule: str = ""


def attacks() -> list[Sample]:
    """Every attack that is a file, by name."""
    return [_attack(file) for file in sorted((HERE / "attacks").rglob("*.txt"))]


def _attack(file: Path) -> Sample:
    raw = file.read_bytes()
    name = file.relative_to(HERE / "attacks").as_posix().removesuffix(".txt")
    if name.endswith(".escaped"):
        name = name.removesuffix(".escaped")
        raw = raw.decode("ascii").encode("ascii").decode("unicode_escape").encode("latin-1")
    raw = re.sub(rb"@([A-Z0-9_]+)@", lambda found: SECRETS[found[1].decode()].encode(), raw)
    said = RULE.search(raw)
    where = said[2].decode() if said and said[2] and b"/" in said[2] else ""
    where = where or (said[2].decode() if said and said[2] and b".py" in said[2] else "")
    test = file.name.startswith("test_")
    path = where or (
        "tests/agents/test_x.py" if test else "bot/schemas/x.py" if "/schemas/" in f"/{name}" else "bot/agents/x.py"
    )
    return Sample(name, path, raw, said[1].decode() if said else "encoding")


def honest() -> list[Sample]:
    """Every honest file, by path."""
    found = []
    for file in sorted((HERE / "honest").rglob("*.txt")):
        path = file.relative_to(HERE / "honest").as_posix().removesuffix(".txt")
        found.append(Sample(path, path, file.read_bytes()))
    return found


def lists() -> reviewer.Allowed:
    """The lists that ship, with the names that the package makes public."""
    return reviewer.Allowed.read(str(imports.ALLOWED), public=persais_core.__all__)


def judged(sample: Sample, allowed: reviewer.Allowed) -> list[single.Row]:
    """What `persais check --as` says of a sample, without the process that it reads code in."""
    if not examples.PATH.fullmatch(sample.path):
        troubles = list(paths.judge(base.ChangedFile(sample.path, paths.PLAIN, "added"), (sample.path,), ()))
        if troubles:
            return [single.row(1, trouble.rule, trouble.text) for trouble in troubles]
        found = reviewer.review(sample.path, sample.content, reviewer.Alone(), allowed)
        rows = [single.Row(one.line, one.rule, one.message, one.instead) for one in found]
    else:
        rows = single.of_examples(sample.content, Path(sample.path).stem)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / Path(sample.path).name
        place.write_bytes(sample.content)
        return rows + [
            single.row(line, "secret", secrets.tell(kind)) for line, kind in secrets.scan(place, sample.content)
        ]
