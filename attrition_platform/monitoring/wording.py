"""A message as people read it: one document for programs, a mail, or what Slack shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from attrition_platform.monitoring.grouping import Message
from attrition_platform.monitoring.notification import plain

# Slack refuses a whole message when one of its parts is longer than this.
MAX_HEADER = 150
MAX_SECTION = 3_000
MAX_FIELD = 2_000
MAX_TEXT = 4_000


def as_document(message: Message) -> dict[str, Any]:
    """What the generic web hook gets, and what the other forms are made of.

    Returns
    -------
    dict
        The newest notification's own fields; ``count`` says how many it speaks of. Where it is more than
        one, ``others`` lists id, key, title and time of each that is kept, oldest first, and
        ``version_before`` is the oldest's. ``text`` holds it in one sentence.

    Examples
    --------
    >>> from attrition_platform.monitoring.notification import Notification
    >>> one = Notification("drift", "w1", "Drift in w1", "why", "m1", "m1", {}, None, "2026-03-01T12:00:00Z")
    >>> as_document(Message((one, one), 7))["text"]
    '7 times: Drift in w1. why'
    """
    newest = message.notifications[-1]
    document = newest.as_json() | {"count": message.n}
    text = f"{newest.title}. {newest.cause}"
    if message.n > 1:
        document["version_before"] = message.notifications[0].version_before
        document["others"] = [
            {"id": n.id, "key": n.key, "title": n.title, "at": n.at} for n in message.notifications
        ]
        text = f"{message.n} times: {text}"
    return document | {"text": text}


def as_mail(document: Mapping[str, Any]) -> tuple[str, str]:
    """Subject (one line) and plain text of a mail.

    Examples
    --------
    >>> subject, text = as_mail({"severity": "page", "title": "Two\\nlines", "owner": "ana", "count": 1})
    >>> subject
    '[page] Two lines'
    >>> print(text)
    Two
    lines
    <BLANKLINE>
    owner: ana
    """
    parts = [str(document.get("title", ""))]
    if document.get("cause"):
        parts.append(str(document["cause"]))
    parts.append("\n".join(f"{name}: {value}" for name, value in _facts(document)))
    if document.get("others"):
        parts.append("\n".join(f"- {other['at']} {other['title']}" for other in document["others"]))
    links = [f"{name}: {document[key]}" for key, name in _LINKS if document.get(key)]
    parts.append("\n".join(links))
    return _subject(document), "\n\n".join(part for part in parts if part)


def as_slack(document: Mapping[str, Any]) -> dict[str, Any]:
    """What an incoming web hook of Slack takes: ``text`` for notices, ``blocks`` for the channel.

    Examples
    --------
    >>> as_slack({"severity": "info", "title": "a < b & <!channel>", "count": 1})["text"]
    '[info] a &lt; b &amp; &lt;!channel&gt;'
    """
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(_subject(document), MAX_HEADER)}}
    ]
    said = str(document.get("cause") or "")
    if document.get("others"):
        said += "".join(f"\n• {other['at']} {other['title']}" for other in document["others"])
    if said.strip():
        blocks.append({"type": "section", "text": _mrkdwn(said, MAX_SECTION)})
    fields = [
        {"type": "mrkdwn", "text": f"*{escaped(name)}*\n{_escaped_cut(value, MAX_FIELD - 100)}"}
        for name, value in _facts(document)
    ]
    if fields:  # at most ten, as many as Slack takes
        blocks.append({"type": "section", "fields": fields})
    links = [_link(str(document[key]), name) for key, name in _LINKS if document.get(key)]
    if links:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": " · ".join(links)}]})
    text = f"{_subject(document)}{': ' + said if said else ''}"
    return {"text": _escaped_cut(text, MAX_TEXT), "blocks": blocks}


def escaped(text: str) -> str:
    """Keep Slack from reading a text as a mention, a link or a channel.

    >>> escaped("<@U1> & co")
    '&lt;@U1&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_LINKS = (("run_url", "Run"), ("runbook", "Runbook"))
_FACTS = (
    ("owner", "owner"),
    ("pipeline", "pipeline"),
    ("cause_kind", "cause"),
    ("version_before", "champion before"),
    ("version_after", "champion after"),
    ("at", "at"),
)


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [(name, str(document[key])) for key, name in _FACTS if document.get(key)]
    count = document.get("count", 1)
    if count != 1:
        found.append(("count", str(count)))
    evidence = dict(document.get("evidence") or {})
    champion = document.get("version_after")
    whose = f"metrics of champion {champion}" if champion else "metrics"
    for name, metrics in (
        (whose, document.get("metrics")),
        (f"metrics of challenger {evidence.get('challenger')}", evidence.pop("challenger_metrics", None)),
    ):
        if isinstance(metrics, Mapping) and metrics:
            found.append((name, ", ".join(f"{key} {_number(value)}" for key, value in metrics.items())))
    if evidence:
        found.append(("evidence", json.dumps(plain(evidence), ensure_ascii=False)))
    return found


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "unknown" if value is None else str(value)


def _subject(document: Mapping[str, Any]) -> str:
    count = document.get("count", 1)
    times = f"{count} times: " if count != 1 else ""
    title = " ".join(str(document.get("title", "")).split())
    return f"[{document.get('severity', 'ticket')}] {times}{title}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _escaped_cut(text: str, most: int) -> str:
    # Escaping makes it longer, and a cut entity would show: so cut first, until the result fits.
    kept = _cut(text, most)
    while len(escaped(kept)) > most:
        kept = _cut(kept, max(1, len(kept) - max(1, (len(escaped(kept)) - most) // 5)))
    return escaped(kept)


def _mrkdwn(text: str, most: int) -> dict[str, str]:
    return {"type": "mrkdwn", "text": _escaped_cut(text, most)}


def _link(address: str, name: str) -> str:
    if not address.startswith(("http://", "https://")):
        return f"{name}: {_escaped_cut(address, 500)}"
    return f"<{escaped(quote(address[:500], safe='/:?#[]@!$&*+,;=%~-._'))}|{name}>"
