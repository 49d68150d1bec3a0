"""Listening sockets, opened before anything else so that a taken port is known at once."""

from __future__ import annotations

import errno
import socket

from persais_core import errors

BACKLOG = 512  # connections that wait while one release hands over to the next


def listen(host: str, port: int) -> socket.socket:
    """Open a listening TCP socket.

    Args:
        host: address, such as 127.0.0.1.
        port: 0 takes any free one.

    Raises:
        SettingsError: the port is taken or may not be used.
    """
    # The protocol is named because asyncio sends small answers without delay only on sockets that say TCP.
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        cause = (
            "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        )
        raise errors.SettingsError(f"port {port} {cause}; choose another with PORT=<number>") from error
    return made
