"""Tell people what happened: a line in a file, and a POST where a web hook is set.

A channel that fails never stops the work that it tells of. What was asked for, and which channel failed,
is in the file; only a full disk loses that too, and then the caller hears of it.
"""

from __future__ import annotations

import json
import math
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

Channel = Literal["file", "webhook"]

WINDOW = timedelta(hours=1)
POST_SECONDS = 3.0
_TRIES = 2
_LOCK_SECONDS = 5
_TAIL_BYTES = 1 << 20


@dataclass(frozen=True)
class Notification:
    """What people are told; names, counts and rates, never an employee's values.

    Attributes
    ----------
    kind : str
        Short and stable, such as ``canary-rolled-back``.
    key : str
        What it is about: the same kind and key are told once an hour.
    title, cause : str
        In words: what happened, and why.
    version_before, version_after : str or None
        Models that answered before and answer now.
    evidence : mapping
        The numbers behind it.
    run_url : str or None
        Where the run behind it can be read.
    at : str
        Time in UTC, ISO 8601.
    """

    kind: str
    key: str
    title: str
    cause: str
    version_before: str | None
    version_after: str | None
    evidence: Mapping[str, Any]
    run_url: str | None
    at: str

    def as_json(self) -> dict[str, Any]:
        """Plain values; a number that is not finite becomes None, what JSON does not know its type's name."""
        plain: dict[str, Any] = _plain(asdict(replace(self, evidence=dict(self.evidence))))
        return plain


@dataclass(frozen=True)
class Delivery:
    """What became of a notification.

    Attributes
    ----------
    repeated : bool
        It was told within the last hour, so it was not told again.
    failed : dict of Channel to str
        Channels that did not take it, and why.
    """

    repeated: bool
    failed: dict[Channel, str]


class Notifier:
    """Writes notifications to a file, and posts them to a web hook.

    Parameters
    ----------
    file : Path
        One JSON document a line, oldest first; made when it is missing.
    webhook_url : str or None
        Gets each notification as a JSON POST; ``text`` holds it in one sentence, as chat services want.
    """

    def __init__(self, file: Path, webhook_url: str | None = None) -> None:
        self.file = file
        self._url = webhook_url

    def send(self, notification: Notification) -> Delivery:
        """Tell it once, on every channel.

        Returns
        -------
        Delivery
            Says what failed; nothing is raised, since the work that is told of is done.
        """
        document = notification.as_json()
        failed: dict[Channel, str] = {}
        try:
            if not self._write_once(document):
                return Delivery(True, {})
        except (OSError, Timeout) as error:
            failed["file"] = f"it can't be written ({type(error).__name__})"
        if self._url is not None:
            text = f"{notification.title}. {notification.cause}"
            problem = _post(self._url, document | {"text": text})
            if problem is not None:
                failed["webhook"] = problem
                failed |= self._write_failure(notification, problem)
        return Delivery(False, failed)

    def _write_once(self, document: Mapping[str, Any]) -> bool:
        """Append the notification, unless it stands in the file's last hour; returns whether it did."""
        with self._locked():
            if _was_told(self._newest(), document):
                return False
            self._append(document)
            return True

    def _write_failure(self, notification: Notification, problem: str) -> dict[Channel, str]:
        note = {
            "kind": "notification-failed",
            "key": f"{notification.kind}/{notification.key}",
            "title": "The web hook did not take a notification",
            "cause": problem,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        try:
            with self._locked():
                self._append(note)
        except (OSError, Timeout) as error:
            return {"file": f"it can't be written ({type(error).__name__})"}
        return {}

    def _locked(self) -> FileLock:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.file.with_suffix(".lock"), timeout=_LOCK_SECONDS)

    def _append(self, document: Mapping[str, Any]) -> None:
        line = json.dumps(document, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n"
        with self.file.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a process was killed in the middle of its line
                    line = "\n" + line
            file.write(line.encode(errors="replace"))
            file.flush()
            os.fsync(file.fileno())

    def _newest(self) -> list[dict[str, Any]]:
        try:
            with self.file.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        documents = []
        for line in lines:
            try:
                document = json.loads(line)
            except ValueError:  # the first may be cut by our own reading, any other by a killed writer
                continue
            if isinstance(document, dict):
                documents.append(document)
        return documents


def _was_told(documents: list[dict[str, Any]], new: Mapping[str, Any]) -> bool:
    now = _time(new["at"])
    for old in documents:
        if (old.get("kind"), old.get("key")) == (new["kind"], new["key"]):
            then = _time(old.get("at"))
            if now is not None and then is not None and abs(now - then) < WINDOW:
                return True
    return False


def _time(text: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What we say goes to the address that was set and to no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _post(url: str, document: Mapping[str, Any]) -> str | None:
    """Post twice at most; returns what went wrong, without the address, which may hold a secret."""
    if not url.startswith(("http://", "https://")):
        return "its address must begin with http:// or https://"
    body = json.dumps(document, ensure_ascii=False, allow_nan=False).encode(errors="replace")
    problem: str | None = None
    for _ in range(_TRIES):
        problem = _within(POST_SECONDS, url, body)
        if problem is None:
            return None
    return problem


def _within(seconds: float, url: str, body: bytes) -> str | None:
    # A socket's time limit starts anew with every byte, so a slow talker could hold us for ever.
    said: list[str | None] = []
    thread = threading.Thread(target=lambda: said.append(_post_once(url, body, seconds)), daemon=True)
    thread.start()
    thread.join(seconds)
    return said[0] if said else f"no answer within {seconds:g} s"


def _post_once(url: str, body: bytes, seconds: float) -> str | None:
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "attrition-platform"}
    try:
        request = urllib.request.Request(url, body, headers, method="POST")
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=seconds):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered HTTP {error.code}"
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except urllib.error.URLError as error:
        return f"it can't be reached ({type(error.reason).__name__})"
    except Exception as error:  # a broken answer raises from http.client, a broken address from anywhere
        return f"it can't be used ({type(error).__name__})"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return f"<{type(value).__name__}>"
