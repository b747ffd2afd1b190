"""Listening on an address: whether it can be, asked before anything starts, and until when."""

from __future__ import annotations

import errno
import logging
import socket
import sys
from typing import Any

import click

from attrition_platform.errors import SettingsError


def log_warnings() -> None:
    """Let a server tell what goes wrong, with its time, on standard error."""
    form = "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(level=logging.WARNING, format=form, stream=sys.stderr)


def serve_until_ctrl_c(app: Any, host: str, port: int, greeting: str, **options: Any) -> None:
    """Run an ASGI application until somebody ends it.

    Parameters
    ----------
    greeting : str
        What is served; printed with the address.
    **options
        Of ``uvicorn.Config``.

    Raises
    ------
    SystemExit
        With 1 when it could not start.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # else a header could say that a request comes from loopback
        ws="none",
        **options,
    )
    click.echo(f"{greeting} on http://{host}:{port} (Ctrl-C ends it)")
    server = uvicorn.Server(config)
    try:
        server.run()
    except KeyboardInterrupt:  # it has ended in order; that is what Ctrl-C asks for, and no failure
        click.echo("Ended.", err=True)
    if not server.started:
        raise SystemExit(1)


def refuse_taken_port(host: str, port: int, option: str = "--port") -> None:
    """Refuse a port on which another program listens already.

    Without this, Dagster goes on without its UI.

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
                    f"Port {port} on {host} is taken: another program listens there. End it, or choose "
                    f"another port with {option}."
                ) from None
