"""Whether an address can be listened on, asked before anything starts that would hide the answer."""

from __future__ import annotations

import errno
import socket

from attrition_platform.errors import SettingsError


def refuse_taken_port(host: str, port: int, option: str = "--port") -> None:
    """Refuse a port on which another program listens already.

    Without this, Dagster goes on without its UI, with a second daemon beside the first.

    Parameters
    ----------
    host : str
        A name or an address. One that can't be resolved is left to the server, which names it.
    port : int
        0 lets the system choose, so it is never taken.
    option : str
        With which another port is chosen.

    Raises
    ------
    SettingsError
        When the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, OverflowError):
        return
    with socket.socket(family, kind, protocol) as probe:
        # As the servers do: else a port whose last connections are just closing would seem to be taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise SettingsError(
                    f"Port {port} on {host} is taken: another program listens there, perhaps this very "
                    f"command in another window. End it, or choose another port with {option}."
                ) from None
