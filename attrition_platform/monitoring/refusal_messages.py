"""What people are told of files of which nothing was taken: which file, which column, and why.

Details are those of the refusal, which name columns, counts and rules and no employee's values. Each is told
for itself: a file that is refused behind another one is news, and its sender waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrition_platform.monitoring.cause_wording import MAX_NAMED, listed
from attrition_platform.monitoring.notification import Notification

PIPELINE = "inbox"
REASONS: Mapping[str, str] = {
    "unit-change": "a column has another unit than in the files before",
    "missing-column": "a column that is always filled is missing or empty",
    "too-many-bad-rows": "too many of its rows break the contract",
    "header": "its header is not the contract's",
    "empty": "it is empty",
    "excel": "it is an Excel workbook",
    "too-large": "it is too large",
    "bad-name": "its name can't be used",
    "no-usable-rows": "it breaks the contract, and so does every other file",
}


def files_refused(
    refused: Sequence[Mapping[str, Any]], *, key: str, at: str, run_url: str | None = None
) -> Notification:
    """Files that were refused when they were taken in.

    Parameters
    ----------
    refused : sequence of mapping
        ``name``, ``reason`` (a short code) and ``detail`` (in words); at least one.
    key : str
        Unique for this finding.

    Examples
    --------
    >>> told = files_refused(
    ...     [{"name": "march.xlsx", "reason": "excel", "detail": "It is an Excel workbook. Save it as CSV."}],
    ...     key="1", at="2026-03-01T12:00:00+00:00",
    ... )
    >>> told.title, told.cause
    ("File 'march.xlsx' was refused: it is an Excel workbook", 'It is an Excel workbook. Save it as CSV.')
    """
    names = [str(one.get("name")) for one in refused]
    if len(refused) == 1:
        title = f"File '{names[0]}' was refused: {_why(refused[0])}"
        cause = str(refused[0].get("detail") or "The run's log says more.")
    else:
        title = f"{len(names)} files were refused: {listed(names)}"
        said = [f"'{one.get('name')}': {one.get('detail') or _why(one)}" for one in refused[:MAX_NAMED]]
        cause = " ".join(said)
    found = [{"file": one.get("name"), "reason": one.get("reason")} for one in refused[:MAX_NAMED]]
    return _refusal(title, cause, {"n_files": len(names), "files": found}, key, at, run_url)


def window_refused(
    *,
    file: str,
    window: str,
    at: str,
    changes: Sequence[Mapping[str, Any]],
    champion: str | None,
    run_url: str | None = None,
) -> Notification:
    """A file came in, and its rows may not be scored: a unit is another one, or a column is empty.

    Parameters
    ----------
    changes : sequence of mapping
        Schema changes that forbid scoring: ``kind``, ``column`` and ``text``; at least one.

    Examples
    --------
    >>> told = window_refused(
    ...     file="march.csv", window="ab12", at="2026-03-01T12:00:00+00:00", champion="m1",
    ...     changes=[{"kind": "unit-change", "column": "years", "text": "'years' looks like months."}],
    ... )
    >>> told.title
    "File 'march.csv' was refused: years (a column has another unit than in the files before)"
    >>> told.cause
    "'years' looks like months."
    """
    columns = [str(change["column"]) for change in changes]
    why = "; ".join(dict.fromkeys(_why({"reason": change["kind"]}) for change in changes))
    found = [{"column": change["column"], "change": change["kind"]} for change in changes]
    return _refusal(
        f"File '{file}' was refused: {listed(columns)} ({why})",
        " ".join(str(change["text"]) for change in changes[:MAX_NAMED]),
        {"file": file, "window": window, "changes": found},
        f"{file}/{window}",
        at,
        run_url,
        champion,
    )


def _why(one: Mapping[str, Any]) -> str:
    reason = str(one.get("reason"))
    return REASONS.get(reason, reason)


def _refusal(
    title: str,
    cause: str,
    evidence: Mapping[str, Any],
    key: str,
    at: str,
    run_url: str | None,
    champion: str | None = None,
) -> Notification:
    return Notification(
        kind="file-refused",
        key=key,
        title=title,
        cause=cause,
        version_before=champion,
        version_after=champion,
        evidence=evidence,
        run_url=run_url,
        at=at,
        severity="ticket",
        cause_kind=f"file-refused/{key}",  # so that no other file's refusal hides it in a group
        pipeline=PIPELINE,
        runbook="failed-run",
    )
