"""Run in the sandbox: imports the schemas of a project and leaves a document of their tables.

What is imported may do anything it likes with this process, and so with the document; `db.app_document.read` takes it
from there as from a stranger.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from persais_core import errors
from persais_core.db import app_document, app_migrations

REPORT = ".schemas.json"


def main() -> None:
    """Write the document of the project named by the first argument into its folder."""
    root = Path(sys.argv[1])
    try:
        answer: object = app_document.describe(app_migrations.schemas(root))
    except errors.PersaisError as error:
        answer = {"cause": str(error)[:1000]}
    (root / REPORT).write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    main()
