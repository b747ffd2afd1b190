"""Who is answered: programs and people of this machine, and a proxy that the operator has named.

The pages have no log-in and change nothing, so it is the address that they listen on which keeps others out.
What is left to refuse is what a web page elsewhere could do with a browser on this machine.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from attrition_platform.web.headers import Headers, security_headers
from attrition_platform.web.hosts import LOOPBACK_HOSTS, host_name

PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
# Evidently's page brings its scripts along. In a sandbox it has no origin: it can read nothing of ours.
REPORT_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
PAGE_HEADERS: Final = security_headers(PAGE_POLICY)
# A sandboxed page may not ask for an opener policy: the browser would refuse to show it.
REPORT_HEADERS: Final = tuple(
    header for header in security_headers(REPORT_POLICY) if header[0] != b"cross-origin-opener-policy"
)
_METHODS: Final = ("GET", "HEAD")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered; quotes nothing that was sent."""

    status: int
    text: str
    headers: Headers = ()


_NO_HOST = Refusal(400, "A request needs one Host header of the form NAME or NAME:PORT.")
_WRONG_HOST = Refusal(
    421, "The dashboard doesn't answer under that Host. Its operator can allow it with --allow-host NAME."
)
_WRONG_METHOD = Refusal(405, "The dashboard only shows things: ask with GET.", ((b"allow", b"GET, HEAD"),))
_CROSS_SITE = Refusal(403, "Pages of other sites may link to the dashboard, but not load parts of it.")


def refuse(
    method: str, headers: list[tuple[bytes, bytes]], allowed_hosts: frozenset[bytes] = frozenset()
) -> Refusal | None:
    """Say why a request is not answered; None where it is.

    Parameters
    ----------
    headers : list of (bytes, bytes)
        As ASGI gives them: names in lower case.
    allowed_hosts : frozenset of bytes
        Lower-case names, without port, that the Host header may have beside the loopback names.

    Examples
    --------
    >>> refuse("GET", [(b"host", b"127.0.0.1:3001")]) is None
    True
    >>> refuse("GET", [(b"host", b"rebound.example")]).status
    421
    """
    hosts = [value.lower() for name, value in headers if name == b"host"]
    name = host_name(hosts[0]) if len(hosts) == 1 else b""
    if not name:
        return _NO_HOST
    if name not in LOOPBACK_HOSTS and name not in allowed_hosts:
        return _WRONG_HOST
    if method not in _METHODS:
        return _WRONG_METHOD
    sent = dict(headers)
    is_link = sent.get(b"sec-fetch-mode") == b"navigate" and sent.get(b"sec-fetch-dest") == b"document"
    if sent.get(b"sec-fetch-site") == b"cross-site" and not is_link:
        return _CROSS_SITE
    return None


class Guard:
    """The outermost layer: refuses, adds headers to each answer, and lets no trace out.

    Parameters
    ----------
    app : ASGIApp
        What is behind it. Where it sends a content security policy of its own, its headers stay as they are.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: frozenset[bytes] = frozenset()) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = _completed(message.get("headers", ()))
            await send(message)

        refusal = refuse(scope["method"], scope["headers"], self._allowed_hosts)
        if refusal is not None:
            await _answer(refusal, send_guarded)
            return
        try:
            await self._app(scope, receive, send_guarded)
        except Exception as error:  # told without a trace, which may hold anything
            log.error("Request to %s failed: %s", scope["path"][:100], type(error).__name__)
            if not has_begun:
                await _answer(Refusal(500, "The dashboard made a mistake; its log names it."), send_guarded)


def _completed(headers: Any) -> list[tuple[bytes, bytes]]:
    given = list(headers)
    names = {name for name, _ in given}
    if b"content-security-policy" in names:
        return given
    return [*given, *(header for header in PAGE_HEADERS if header[0] not in names)]


async def _answer(refusal: Refusal, send: Send) -> None:
    body = refusal.text.encode()
    plain = (b"content-type", b"text/plain; charset=utf-8")
    length = (b"content-length", b"%d" % len(body))
    headers = [plain, length, *refusal.headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
