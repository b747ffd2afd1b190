"""What the executive page says: one sentence and one tone for each question, and what happens next.

A tone is never better than what is known: what nobody has judged, or judged long ago, is not "good".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from attrition_platform.dashboard.formats import number, parsed, percent, span, words

Tone = Literal["good", "unknown", "attention", "bad"]
_ORDER: Final[tuple[Tone, ...]] = ("good", "unknown", "attention", "bad")
TONES: Final[dict[Tone, str]] = {
    "good": "In order",
    "unknown": "Not known yet",
    "attention": "Look at it",
    "bad": "Act",
}
_HEADLINES: Final[dict[Tone, str]] = {
    "good": "Everything is in order.",
    "unknown": "Nothing is wrong as far as is known; not everything is known yet.",
    "attention": "Something wants to be looked at.",
    "bad": "Somebody has to act.",
}
_COLUMNS: Final = {"probability": "the model's own predictions"}
# The daily run judges anew; after two days without one its verdict is old.
OLD_SECONDS: Final = 48 * 3600.0

Overview = Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """An answer to one question."""

    tone: Tone
    text: str


def headline(*answers: Said) -> Said:
    """The worst of all answers, in a sentence.

    >>> headline(Said("good", ""), Said("unknown", "")).tone
    'unknown'
    """
    tone = max((answer.tone for answer in answers), key=_ORDER.index)
    return Said(tone, _HEADLINES[tone])


def about_model(found: Overview) -> Said:
    """Which model decides?"""
    part = found["release"]
    if part["state"] == "problem":
        return Said("bad", f"The ledger can't be read. {part['problem']}")
    if part["state"] == "not-yet":
        return Said("unknown", "No model decides yet: nothing was trained. `make train` does it.")
    if part["chain_problem"]:
        return Said("bad", f"The ledger does not hold what was written: {part['chain_problem']}.")
    champion = part["champion"]
    if champion is None:
        return Said("unknown", "No model decides yet: no challenger has been released.")
    how = "after a rollback" if champion["became_by"] == "rollback" else "promoted by the gates"
    return Said("good", f"Model {champion['version']} ({words(champion['family'])}), {how}.")


def about_quality(found: Overview) -> Said:
    """How good is it?"""
    part = found["performance"]
    if part["state"] != "known":
        return _unread(
            part, "Outcomes have not been held against predictions yet. `attrition monitor` does it."
        )
    judged, verdict = part.get("judged"), part.get("verdict")
    if judged is None:
        return Said("unknown", "There is no model that could be judged.")
    reasons = " ".join(judged["reasons"])
    champion = (found["release"].get("champion") or {}).get("version")
    if judged["version"] != champion:
        text = f"The newest verdict is about model {judged['version']}, which no longer decides: {reasons}"
        return Said("unknown", text)
    if verdict == "ok":
        return _fresh(Said("good", f"Outcomes that are known bear it out. {reasons}"), part, found)
    if verdict == "below-floor":
        return Said("bad", f"It is no longer good enough on outcomes that are known. {reasons}")
    if verdict == "concept-drift":
        return Said("bad", f"People now leave for other reasons than it learned. {reasons}")
    return Said("unknown", f"Too few outcomes are known to judge it. {reasons}")


def about_drift(found: Overview) -> Said:
    """Is data drifting?"""
    part = found["drift"]
    if part["state"] != "known":
        return _unread(part, "No data has been held against what the model learned from yet.")
    if part["problem"]:
        return Said("unknown", part["problem"])
    changes = " ".join(change["text"] for change in part["schema_changes"])
    if part["drifted"]:
        names = ", ".join(_COLUMNS.get(name) or words(name) for name in part["columns"])
        score = "" if part["score"] is None else f"; largest score {number(part['score'])}"
        text = f"The newest data differs from what the model learned from in: {names}{score}. {changes}"
        return Said("attention", text.strip())
    if changes:
        return Said("attention", f"No column drifted, but the file has changed. {changes}")
    if part["score"] is None:
        return Said("unknown", "The newest data could not be tested.")
    limit = found["place"].get("min_score")
    counts = "" if limit is None else f", {number(limit, 1)} counts"
    score = f"largest score {number(part['score'])}{counts}"
    return Said("good", f"The newest data looks like what the model learned from ({score}).")


def about_promises(found: Overview) -> Said:
    """Are we within the promises (SLOs)?"""
    part = found["slo"]
    if part["state"] != "known":
        return _unread(part, "The promises have not been measured yet. `attrition monitor` does it.")
    counts, alerts = part["verdicts"], part["alerts"]
    pages = [alert for alert in alerts if alert["severity"] == "page"]
    text = f"{counts['met']} of {sum(counts.values())} promises are kept"
    if counts["no-data"]:
        text += f", {counts['no-data']} can't be told yet"
    if part["missed"]:
        text += f", {counts['missed']} broken: {', '.join(words(name) for name in part['missed'])}"
    if pages:
        return Said("bad", f"{text}. {_several(len(pages), 'alert')} to act on now.")
    if part["missed"] or alerts:
        return Said("attention", f"{text}. {_several(len(alerts), 'alert')} for working hours.")
    tone: Tone = "good" if counts["met"] else "unknown"
    return _fresh(Said(tone, f"{text}. No alert stands."), part, found)


def about_alerts(found: Overview) -> Said:
    """Does somebody have to act now?"""
    part, model = found["slo"], about_model(found)
    alerts = part["alerts"] if part["state"] == "known" else []
    n_pages = sum(alert["severity"] == "page" for alert in alerts)
    if n_pages:
        return Said("bad", f"{_several(n_pages, 'alert')} to act on now.")
    if model.tone == "bad":
        return model
    if alerts:
        return Said("attention", f"{_several(len(alerts), 'alert')} for working hours.")
    if part["state"] != "known":
        return _unread(part, "Nobody has looked for alerts yet.")
    return _fresh(Said("good", "No alert stands."), part, found)


def next_steps(found: Overview) -> tuple[str, ...]:
    """What happens next, by itself or by people."""
    release, causes = found["release"], found["causes"]
    waiting, canary = release.get("waiting"), release.get("canary")
    steps = []
    if waiting:
        steps.append(
            f"Model {waiting['version']} waits for {_several(waiting['n_missing'], 'more approval')}: "
            "`attrition approve` shows what it is worth."
        )
    if canary:
        share = "no traffic, it only scores along" if not canary["share"] else percent(canary["share"])
        steps.append(
            f"Model {canary['version']} is on trial ({share}); it is ramped or taken back by itself."
        )
    for kind, n in causes.get("n_open", {}).items():
        steps.append(
            f"A training starts by itself because of: {words(kind)}{f' ({n} times)' if n > 1 else ''}."
        )
    ticketed = [one for one in causes.get("open", ()) if one["state"] == "ticketed"]
    if ticketed:
        steps.append(
            f"{_several(len(ticketed), 'cause')} could not be answered by a run: people must look (On call)."
        )
    if release.get("champion") is None and not steps:
        steps.append("Somebody runs `make train`, or drops a file into the inbox.")
    steps.append(
        "A file that is dropped into the inbox starts a training at once; every night what has arrived is "
        "taken in and the model is decided anew, every day outcomes are judged, and every ten minutes "
        "promises."
    )
    return tuple(steps)


def _several(n: int, name: str) -> str:
    """A count with its noun.

    >>> _several(1, "alert"), _several(2, "alert")
    ('1 alert', '2 alerts')
    """
    return f"{n} {name}{'' if n == 1 else 's'}"


def _unread(part: Mapping[str, Any], not_yet: str) -> Said:
    if part["state"] == "problem":
        return Said("attention", f"This can't be told. {part['problem']}")
    return Said("unknown", not_yet)


def _fresh(said: Said, part: Mapping[str, Any], found: Overview) -> Said:
    """Call a good verdict old when it is."""
    judged, now = parsed(part.get("judged_at")), parsed(found["at"])
    age = 0.0 if judged is None or now is None else (now - judged).total_seconds()
    if age <= OLD_SECONDS:
        return said
    return replace(
        said, tone="attention", text=f"{said.text} That was judged {span(age)} ago, and not since."
    )
