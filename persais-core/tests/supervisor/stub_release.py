"""A release that does what a test says: it takes the options of `persais serve`, and nothing but /health answers.

What it is to do stands in `says/COMMIT.json` beside the releases' folder, read at its start and at every question:

    start     "ends"; "only safe" ends where it is not started in safe mode
    document  what differs from an answer that says that all is well
"""

import argparse
import json
import os
import select
import socket
import sys
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser()
for option in ("root", "commit", "workspace", "safe", "probe-fd", "public-fd", "leash-fd"):
    parser.add_argument(f"--{option}", default="")
given = parser.parse_args()
place = Path(given.root).parents[1] / "says" / given.commit


def said() -> dict[str, Any]:
    """What the test says at the moment."""
    file = place.with_suffix(".json")
    return json.loads(file.read_text()) if file.is_file() else {}


place.with_suffix(".pid").write_text(str(os.getpid()))
start = said().get("start")
if start == "ends" or (start == "only safe" and not given.safe):
    sys.exit(3)
probe, leash, asked = socket.socket(fileno=int(given.probe_fd)), int(given.leash_fd), 0
sources: list[Any] = [probe, leash]
while leash not in select.select(sources, [], [])[0]:
    connection, _ = probe.accept()
    with connection:
        while b"\r\n\r\n" not in connection.recv(65536):
            pass
        document = {
            "status": "ok",
            "commit": given.commit,
            "active": True,
            "checks": {"release": "ok", "database": "ok"},
        }
        body = json.dumps(document | said().get("document", {})).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    asked += 1
    place.with_suffix(".asked").write_text(str(asked))
