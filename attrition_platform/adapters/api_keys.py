"""API keys at rest: who may ask the service, without the keys themselves.

A key is 256 random bits, so nobody finds one by trying: a keyed hash (HMAC-SHA256) is enough, and a slow
password hash would only slow every request. The file lists a name, roles, two times and that hash for each
key, and ends with an HMAC over all of it, so that a role written in by hand counts as damage. A damaged
file lets nobody in.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from attrition_platform.adapters.object_store import write_atomically
from attrition_platform.errors import ApiKeyError

Role = Literal["predict", "explain", "operate"]
ROLES: tuple[Role, ...] = get_args(Role)
KEY_PREFIX = "attr_"
KEY_LENGTH = len(KEY_PREFIX) + 43
RECHECK_SECONDS = 0.5
RESERVED_NAMES = frozenset({"cli", "local"})  # the log has these names for callers without a key

# The same secret also makes pseudonyms and signs manifests: each use works with a secret of its own.
_PURPOSE = b"attrition_platform api keys v1\n"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LOCK_SECONDS = 10.0
_UNKNOWN = (-1, -1, -1)


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key; never the key.

    Attributes
    ----------
    name : str
        Who holds it; goes into the prediction log.
    roles : frozenset of Role
        What its holder may ask for.
    created : str
        When, ISO 8601.
    revoked : str or None
        When it stopped; None while it works.
    """

    name: str
    roles: frozenset[Role]
    created: str
    revoked: str | None = None


@dataclass(frozen=True)
class _State:
    """One reading of the file. `met` remembers keys that were found: at most as many as the file has."""

    version: tuple[int, int, int] | None = None
    entries: tuple[tuple[bytes, ApiKey], ...] = ()
    problem: str | None = None
    met: dict[bytes, ApiKey] = field(default_factory=dict)


class ApiKeys:
    """The keys of one service, in one small JSON file (mode 0600).

    Reading is for one process that asks often, writing for a person at the command line; both may go on
    at once.

    Parameters
    ----------
    file : Path
        The file; no file means that there is no key yet.
    secret : bytes
        The platform's secret, kept outside the data folder. With another secret every file is damaged.
    clock : callable
        Seconds that only grow; decides when to look whether the file has changed.
    """

    def __init__(self, file: Path, secret: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self.file = file
        self._secret = hmac.digest(secret, _PURPOSE, "sha256")
        self._clock = clock
        self._state = _State()
        self._look_again_at = float("-inf")

    @property
    def problem(self) -> str | None:
        """Why nobody is let in, in words for the operator; None while the file is sound."""
        return self._current().problem

    def any(self) -> bool:
        """Whether callers need a key: one was made, revoked or not, or the file can't be trusted."""
        state = self._current()
        return bool(state.entries) or state.problem is not None

    def find(self, key: str) -> ApiKey | None:
        """Look up what a caller sent.

        Returns
        -------
        ApiKey or None
            None for an unknown or revoked key, and for every key while the file is damaged.
        """
        state = self._current()
        if len(key) != KEY_LENGTH or not key.isascii():
            return None
        digest = self._digest(key)
        # Who doesn't have the secret can't choose this digest, so the look-up's time says nothing about keys.
        met = state.met.get(digest)
        if met is not None:
            return met
        found: ApiKey | None = None
        for known, api_key in state.entries:
            if hmac.compare_digest(known, digest) and api_key.revoked is None:
                found = api_key
        if found is not None:
            state.met[digest] = found
        return found

    def list(self) -> tuple[ApiKey, ...]:
        """Every key that was ever made, oldest first.

        Raises
        ------
        ApiKeyError
            When the file is damaged.
        """
        return tuple(api_key for _, api_key in self._entries())

    def add(self, name: str, roles: Collection[Role], at: str) -> str:
        """Make a key and return it: the only time that it can be read.

        Raises
        ------
        ApiKeyError
            When the name was used before (the log's names must keep their meaning, so a revoked one
            counts), is no usable name, a role is unknown or missing, or the file is damaged.
        """
        if _NAME.fullmatch(name) is None or name in RESERVED_NAMES:
            raise ApiKeyError(
                "A key's name is 1 to 64 letters, digits, dots, hyphens and underscores, begins with a "
                f"letter or digit, and is not {' or '.join(sorted(RESERVED_NAMES))}. Choose such a name."
            )
        unknown = sorted(set(roles) - set(ROLES))
        if unknown or not roles:
            what = f"unknown role '{unknown[0]}'" if unknown else "no role"
            raise ApiKeyError(f"Key '{name}' has {what}. Give at least one of {', '.join(ROLES)}.")
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        with self._locked():
            entries = self._entries()
            if any(api_key.name == name for _, api_key in entries):
                raise ApiKeyError(
                    f"There is already a key named '{name}' (a revoked one keeps its name). Choose another."
                )
            made = ApiKey(name, frozenset(roles), created=at)
            self._write((*entries, (self._digest(key), made)))
        return key

    def revoke(self, name: str, at: str) -> ApiKey:
        """Stop a key; a running service refuses it within a second.

        Raises
        ------
        ApiKeyError
            When there is no working key of that name, or the file is damaged.
        """
        with self._locked():
            entries = self._entries()
            old = next((api_key for _, api_key in entries if api_key.name == name), None)
            if old is None or old.revoked is not None:
                why = "no key" if old is None else "only a revoked key"
                raise ApiKeyError(
                    f"There is {why} of that name. `attrition keys list` shows which there are."
                )
            new = replace(old, revoked=at)
            self._write(tuple((digest, new if api_key is old else api_key) for digest, api_key in entries))
        return new

    def _digest(self, key: str) -> bytes:
        return hmac.digest(self._secret, b"key\n" + key.encode("ascii"), "sha256")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.file.with_suffix(".lock"), timeout=_LOCK_SECONDS)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise ApiKeyError(
                f"Another command has been changing '{self.file}' for {_LOCK_SECONDS:g} s. Try again later."
            ) from None
        except OSError as error:
            raise self._unwritten(error) from error
        try:
            yield
        finally:
            lock.release()

    def _entries(self) -> tuple[tuple[bytes, ApiKey], ...]:
        """What the file holds right now."""
        self._look_again_at = float("-inf")
        state = self._current()
        if state.problem is not None:
            raise ApiKeyError(state.problem)
        return state.entries

    def _current(self) -> _State:
        """The newest reading, at most `RECHECK_SECONDS` old; replaced whole, so threads may share it."""
        now = self._clock()
        if now >= self._look_again_at:
            self._look_again_at = now + RECHECK_SECONDS
            if self._version() != self._state.version:  # a damaged file has none: it is read again
                self._state = self._read()
        return self._state

    def _version(self) -> tuple[int, int, int] | None:
        try:
            return _version_of(os.stat(self.file))
        except FileNotFoundError:
            return None
        except OSError:
            return _UNKNOWN  # unlike any reading, so that `_read` finds out and says why

    def _read(self) -> _State:
        try:
            with self.file.open("rb") as file:
                version = _version_of(os.fstat(file.fileno()))
                return _State(version, self._parse(file.read()))
        except FileNotFoundError:
            if self._state.version is None and self._state.problem is None:
                return _State()
            # Were this "no key yet", deleting the file would open a running service to everyone on the host.
            return _State(
                problem=self._say("is gone, though there were keys; restart the service if you meant it")
            )
        except OSError as error:
            return _State(problem=self._say(f"can't be read ({error.strerror})"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return _State(problem=self._say("is not what was written, or was written with another secret"))

    def _say(self, what: str) -> str:
        return (
            f"The file of API keys '{self.file}' {what}. Nobody is let in until it is right: "
            "restore it from a backup, or move it away and make new keys."
        )

    def _parse(self, content: bytes) -> tuple[tuple[bytes, ApiKey], ...]:
        document: dict[str, Any] = json.loads(content)
        if not hmac.compare_digest(self._mac(document["keys"]), bytes.fromhex(document["hmac"])):
            raise ValueError
        return tuple(
            (
                bytes.fromhex(entry["hmac"]),
                ApiKey(entry["name"], frozenset(entry["roles"]), entry["created"], entry["revoked"]),
            )
            for entry in document["keys"]
        )

    def _write(self, entries: tuple[tuple[bytes, ApiKey], ...]) -> None:
        keys = [
            {
                "name": api_key.name,
                "roles": sorted(api_key.roles),
                "created": api_key.created,
                "revoked": api_key.revoked,
                "hmac": digest.hex(),
            }
            for digest, api_key in entries
        ]
        document = {"keys": keys, "hmac": self._mac(keys).hex()}
        try:
            write_atomically(self.file, json.dumps(document, indent=2).encode())
        except OSError as error:
            raise self._unwritten(error) from error
        self._look_again_at = float("-inf")

    def _unwritten(self, error: OSError) -> ApiKeyError:
        return ApiKeyError(
            f"'{self.file}' can't be written ({error.strerror}), so no key was changed. "
            "Make its folder writable, then ask again."
        )

    def _mac(self, keys: Any) -> bytes:
        text = json.dumps(keys, sort_keys=True, separators=(",", ":"))
        return hmac.digest(self._secret, b"file\n" + text.encode(), "sha256")


def _version_of(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_size, status.st_ino
