"""Decide who a request comes from, by its headers alone.

Without any key, a service that is bound to loopback trusts this machine's own programs, and nothing
that a web page or a proxy could send through them: the Host must be a loopback name (a foreign name that
was made to resolve to 127.0.0.1 is DNS rebinding), the Origin must be our own, and no header may say
that the request was passed on. As soon as one key exists, every caller needs one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from attrition_platform.adapters.api_keys import ApiKey, Role
from attrition_platform.web.hosts import LOOPBACK_HOSTS, host_name

RefusalCode = Literal["bad-host", "wrong-host", "repeated-header", "cross-site", "no-key", "role-missing"]

_LOOPBACK_CLIENTS = frozenset({"127.0.0.1", "::1"})
_PASSED_ON = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})
_SINGLE = frozenset({b"host", b"origin", b"authorization", b"x-api-key"})
_READ = _SINGLE | _PASSED_ON | {b"sec-fetch-site"}
# "same-site" is a page of another port of this machine: its links may lead here; what it posts or reads
# carries an Origin, which is refused.
_FRIENDLY_SITES = frozenset({b"same-origin", b"same-site", b"none"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes
    ----------
    name : str
        Name of the key, or ``"local"``.
    roles : frozenset of Role
        What this caller may ask for.
    """

    name: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered; the routes make a problem document of it.

    Attributes
    ----------
    status : int
        HTTP status.
    code : RefusalCode
        Short and stable.
    detail : str
        For the caller: the rule and what to do. Quotes nothing that was sent.
    headers : tuple of (bytes, bytes)
        To be added to the answer.
    """

    status: int
    code: RefusalCode
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Keys(Protocol):
    """What is asked of `adapters.api_keys.ApiKeys`."""

    def any(self) -> bool:
        """Whether callers need a key."""

    def find(self, key: str) -> ApiKey | None:
        """The working key, or None."""


LOCAL = Caller("local", frozenset({"predict", "explain"}))
_NO_HOST = Refusal(400, "bad-host", "A request needs one Host header of the form NAME or NAME:PORT.")
_WRONG_HOST = Refusal(
    421,
    "wrong-host",
    "This service doesn't answer under that Host. Use an address that its operator has allowed.",
)
_REPEATED = Refusal(
    400, "repeated-header", f"Send {', '.join(n.decode() for n in sorted(_SINGLE))} only once."
)
_CROSS_SITE = Refusal(
    403,
    "cross-site",
    "Without a key, pages of other sites and proxies can't use this service. Make a key with "
    "`attrition keys add NAME --role predict`.",
)
# One text for a missing, an unknown and a revoked key: the answer must not tell which keys there are.
_NO_KEY = Refusal(
    401,
    "no-key",
    "A valid API key is needed: send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'. "
    "The operator makes one with `attrition keys add NAME --role predict`.",
    ((b"www-authenticate", b"Bearer"),),
)


def identify(
    headers: Iterable[tuple[bytes, bytes]],
    client_host: str | None,
    keys: Keys,
    loopback: bool,
    allowed_hosts: Collection[bytes] | None = None,
) -> Caller | Refusal:
    """Say who sent a request.

    Parameters
    ----------
    headers : iterable of (bytes, bytes)
        As ASGI gives them: names in lower case.
    client_host : str or None
        Address of the peer's socket, not one that a header claims.
    keys : Keys
        The keys.
    loopback : bool
        Whether the server listens on loopback only.
    allowed_hosts : collection of bytes or None
        Lower-case names, without port, that the Host header may have beside the loopback names.
        None: no other name on loopback, every name elsewhere.

    Returns
    -------
    Caller or Refusal
    """
    read: dict[bytes, bytes] = {}
    for header, value in headers:
        if header in _READ:
            if header in read and header in _SINGLE:
                return _REPEATED
            read[header] = value
    host = read.get(b"host", b"").lower()
    name = host_name(host)
    if not name:
        return _NO_HOST
    if name not in LOOPBACK_HOSTS and not (not loopback if allowed_hosts is None else name in allowed_hosts):
        return _WRONG_HOST
    if keys.any():
        return _holder(read, keys)
    if not loopback or not _is_loopback(client_host):
        return _NO_KEY
    return _local(read, host, name)


def check_role(caller: Caller, role: Role) -> Refusal | None:
    """Refuse a caller who lacks a role; None when the caller has it.

    Examples
    --------
    >>> check_role(LOCAL, "operate").status
    403
    >>> check_role(LOCAL, "predict") is None
    True
    """
    if role in caller.roles:
        return None
    return Refusal(
        403,
        "role-missing",
        f"This needs the role '{role}', which '{caller.name}' doesn't have. "
        f"The operator makes a key that has it with `attrition keys add NAME --role {role}`.",
    )


def _local(read: dict[bytes, bytes], host: bytes, name: bytes) -> Caller | Refusal:
    """Tell a program or page of this machine from a page or proxy that reaches through it."""
    origin = read.get(b"origin")
    foreign = (
        name not in LOOPBACK_HOSTS
        or (origin is not None and origin.lower() not in (b"http://" + host, b"https://" + host))
        or read.get(b"sec-fetch-site", b"none") not in _FRIENDLY_SITES
        or not _PASSED_ON.isdisjoint(read)
    )
    return _CROSS_SITE if foreign else LOCAL


def _holder(read: dict[bytes, bytes], keys: Keys) -> Caller | Refusal:
    key = read.get(b"x-api-key")
    scheme, _, credentials = read.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        credentials = credentials.strip()
        if key is not None and key != credentials:
            return _NO_KEY
        key = credentials
    if key is None:
        return _NO_KEY
    found = keys.find(key.decode("latin-1"))
    return _NO_KEY if found is None else Caller(found.name, found.roles)


def _is_loopback(client_host: str | None) -> bool:
    if client_host in _LOOPBACK_CLIENTS:
        return True
    return client_host is not None and client_host.removeprefix("::ffff:").startswith("127.")
