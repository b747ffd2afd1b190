"""Under which names a program of this machine is asked for.

A foreign name that was made to resolve to 127.0.0.1 (DNS rebinding) lets a web page read what listens
there, so both applications look at the Host header.
"""

from __future__ import annotations

from typing import Final

LOOPBACK_HOSTS: Final = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})


def host_name(host: bytes) -> bytes:
    """Cut the port off; empty when it is no Host.

    >>> host_name(b"[::1]:8000"), host_name(b"localhost"), host_name(b"localhost:80@evil.example")
    (b'[::1]', b'localhost', b'')
    """
    name, bracket, rest = host.partition(b"]")
    if bracket:
        name += bracket
        colon, port = rest[:1], rest[1:]
        return name if not rest or (colon == b":" and port.isdigit()) else b""
    name, colon, port = host.partition(b":")
    return name if not colon or port.isdigit() else b""
