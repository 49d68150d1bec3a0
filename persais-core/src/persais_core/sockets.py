"""Listening sockets, opened before anything else so that a taken port is known at once."""

from __future__ import annotations

import errno
import socket

from persais_core import errors

BACKLOG = 512  # connections that wait while one release hands over to the next


class TakenError(errors.SettingsError):
    """Somebody else listens on a port. Nothing was opened."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken by another program; choose another with PORT=<number>")
        self.port = port


def listen(host: str, port: int) -> socket.socket:
    """Open a listening TCP socket.

    Args:
        host: address, such as 127.0.0.1.
        port: 0 takes any free one.

    Raises:
        TakenError: somebody else listens there.
        SettingsError: the port may not be used, or there is none of that number.
    """
    # The protocol is named because asyncio sends small answers without delay only on sockets that say TCP.
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        made.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise TakenError(port) from error
        cause = error.strerror if isinstance(error, OSError) else "65535 is the highest"
        raise errors.SettingsError(f"port {port} cannot be used: {cause}; choose another with PORT=<number>") from error
    return made
