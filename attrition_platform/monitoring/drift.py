"""Decide whether a window of employees differs from what the champion was trained on.

Three questions are asked of each column: are its values shared out otherwise, are more (or fewer) cells
empty or unreadable, and are there categories that the reference has not. Each has an effect, which is
comparable with the customary limit of 0.1, and a p-value, which holds for the sizes at hand
(`same_source`). A column is drifted where the effect reaches the rule's floor *and* the p-value stands after
two corrections (a number's effect is the larger of two distances, so that a few typos of many digits do not
deafen the floor; it can only silence, so the promise about false alarms is that of the p-values):

- over questions and columns: Benjamini and Hochberg's step-up within the window, at level q;
- over time: q is the year's allowed chance of any false alarm divided by the year's windows. By the union
  bound the chance then holds for the year, also though all windows share one reference, since each window's
  test holds for a reference that is itself a sample. Who judges more windows than the rule's
  `windows_per_year`, such as several files a day, must raise it, or the year's chance grows in proportion.

What can't be tested is said to be so, and is never called stable.

**Windows that repeat people.** Extracts of a company mostly bring the same employees again. A window that
holds people of the reference differs from it less than a fresh sample would, and windows that repeat each
other err together and not one by one: both make false alarms rarer than allowed, and small drifts among the
people who are new harder to find. A window of one department is no sample of the company: it differs
indeed, and is called drifted.

Nothing here reads a clock, a setting or a row, so a decision can be replayed from two stored summaries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from attrition_platform.contracts.rows import why_no_category
from attrition_platform.modeling.watch_rules import DriftRule
from attrition_platform.monitoring.distances import (
    jensen_shannon_distance,
    normed_wasserstein_distance,
    robust_wasserstein_distance,
)
from attrition_platform.monitoring.drift_verdict import (
    Answer,
    ColumnVerdict,
    DriftVerdict,
    NewCategory,
    Outcome,
    Reason,
)
from attrition_platform.monitoring.same_source import (
    Floats,
    Ints,
    categories_p_value,
    novelty_p_value,
    numbers_p_value,
)
from attrition_platform.monitoring.summary import ColumnCounts, FrameSummary

__all__ = ["Answer", "ColumnVerdict", "DriftVerdict", "NewCategory", "judge_drift"]

MAX_NAMED: Final = 10
LONGEST_NAME: Final = 60


def judge_drift(reference: FrameSummary, window: FrameSummary, rule: DriftRule) -> DriftVerdict:
    """Compare a window with the champion's reference.

    Parameters
    ----------
    reference, window : FrameSummary
        Of the same contract. Columns need not have the same number of rows: probabilities of the
        test side are one more number column.
    rule : DriftRule
        Several windows that are judged in one go share `windows_per_year`: multiply it by their number.

    Returns
    -------
    DriftVerdict

    Examples
    --------
    >>> def remote(no, yes):
    ...     return FrameSummary(no + yes, {"remote": ColumnCounts("category", ("No", "Yes"), (no, yes))})
    >>> verdict = judge_drift(remote(8_100, 1_900), remote(3_250, 1_750), DriftRule())
    >>> verdict.columns, round(verdict.score, 2)
    (('remote',), 0.13)
    >>> judge_drift(remote(8_100, 1_900), remote(405, 95), DriftRule()).by_column["remote"].outcome
    'stable'
    """
    names = sorted(reference.columns.keys() | window.columns.keys())
    pairs = {name: (reference.columns.get(name), window.columns.get(name)) for name in names}
    asked = {name: _ask(before, now, rule) for name, (before, now) in pairs.items()}
    level = rule.false_alarms_per_year / rule.windows_per_year
    limit = _step_up([answer.p_value for answers, _ in asked.values() for answer in answers], level)
    return DriftVerdict(
        n_rows=window.n_rows,
        n_reference_rows=reference.n_rows,
        level=level,
        by_column={
            name: _conclude(name, *pairs[name], *asked[name], limit=limit, rule=rule) for name in names
        },
    )


def _conclude(
    name: str,
    reference: ColumnCounts | None,
    window: ColumnCounts | None,
    answers: tuple[Answer, ...],
    reason: Reason | None,
    *,
    limit: float,
    rule: DriftRule,
) -> ColumnVerdict:
    judged = tuple(_judged(answer, limit) for answer in answers)
    outcomes = {answer.outcome for answer in judged}
    outcome: Outcome = "stable"
    if "drifted" in outcomes:
        outcome = "drifted"
    elif reason is not None:
        outcome = "cannot-test"
    elif "below-effect-floor" in outcomes:
        outcome = "below-effect-floor"
    unseen = _unseen(reference, window)
    return ColumnVerdict(
        column=name,
        outcome=outcome,
        reason=reason,
        answers=judged,
        missing_share=_missing_share(window),
        reference_missing_share=_missing_share(reference),
        new_categories=_named(unseen, rule.min_named_rows),
        n_new_category_rows=sum(unseen.values()),
    )


def _judged(answer: Answer, limit: float) -> Answer:
    if not answer.p_value <= limit:
        return answer
    # The share of new categories is one that is tolerated, the others are limits that count.
    tolerates_limit = answer.question == "new-category"
    reached = answer.judged_effect
    matters = reached > answer.limit if tolerates_limit else reached >= answer.limit
    return replace(answer, outcome="drifted" if matters else "below-effect-floor")


def _step_up(p_values: list[float], level: float) -> float:
    """Largest p-value that Benjamini and Hochberg's procedure rejects; negative where it rejects none.

    >>> _step_up([0.02, 0.001, 0.9, 0.045], level=0.05)
    0.02
    >>> _step_up([0.2, 0.9], level=0.05)
    -1.0
    """
    ascending = sorted(p_values)
    passing = [p for rank, p in enumerate(ascending, 1) if p <= level * rank / len(ascending)]
    return max(passing, default=-1.0)


def _ask(
    reference: ColumnCounts | None, window: ColumnCounts | None, rule: DriftRule
) -> tuple[tuple[Answer, ...], Reason | None]:
    """Put all questions that can be asked, and say why the values can't be compared where they can't."""
    if reference is None or window is None:
        return (), "missing-column" if window is None else "no-reference"
    if reference.kind != window.kind:
        return (), "kind-changed"
    reason = _too_few(reference.n_rows, window.n_rows, rule.min_rows)
    if reason is not None:
        return (), reason
    answers = _ask_missing(reference, window, rule)
    reason = _too_few(reference.n_values, window.n_values, rule.min_rows)
    if reason is None and reference.values == window.values and len(window.values) == 1:
        reason = "constant"
    if reason is not None:
        return answers, reason
    ask_values = _ask_numbers if reference.kind == "number" else _ask_categories
    on_values = ask_values(reference, window, rule)
    # Said so that NaN fails: what is not a number in [0, inf) is no answer.
    if not all(0.0 <= a.judged_effect < math.inf and 0.0 < a.p_value <= 1.0 for a in on_values):
        return answers, "not-finite"
    return (*on_values, *answers), None


def _too_few(n_reference: int, n_window: int, least: int) -> Reason | None:
    if n_window < least:
        return "too-few-rows" if n_window else "empty"
    if n_reference < least:
        return "too-few-reference-rows" if n_reference else "empty-reference"
    return None


def _ask_missing(reference: ColumnCounts, window: ColumnCounts, rule: DriftRule) -> tuple[Answer, ...]:
    before, now = (np.array((c.n_values, c.n_missing, c.n_unreadable)) for c in (reference, window))
    # Kinds of cells that neither side has are no part of the question, and neither is a full column.
    there = before + now > 0
    if not there[1:].any():
        return ()
    before, now = before[there], now[there]
    p_value = categories_p_value(before, now)
    return (Answer("missing-values", jensen_shannon_distance(before, now), rule.min_score, p_value),)


def _ask_categories(reference: ColumnCounts, window: ColumnCounts, rule: DriftRule) -> tuple[Answer, ...]:
    before, now = _aligned(reference, window)
    new_share = float(now[before == 0].sum()) / window.n_values
    return (
        Answer(
            "distribution",
            jensen_shannon_distance(before, now),
            rule.min_score,
            categories_p_value(before, now),
        ),
        Answer("new-category", new_share, rule.max_new_category_share, novelty_p_value(before, now)),
    )


def _ask_numbers(reference: ColumnCounts, window: ColumnCounts, rule: DriftRule) -> tuple[Answer, ...]:
    # A stable sort merges the two ascending runs, which a million distinct values need.
    values = np.sort(np.concatenate((reference.numbers, window.numbers)), kind="stable")
    values = values[np.append(True, np.diff(values) > 0)]
    before, now = (_spread(column, values) for column in (reference, window))
    effect = normed_wasserstein_distance(values, before, now)
    robust = robust_wasserstein_distance(values, before, now)
    p_value = numbers_p_value(before, now)
    return (Answer("distribution", effect, rule.min_score, p_value, robust_effect=robust),)


def _spread(column: ColumnCounts, values: Floats) -> Ints:
    counts = np.zeros(len(values), dtype=np.int64)
    counts[np.searchsorted(values, column.numbers)] = column.weights
    return counts


def _aligned(reference: ColumnCounts, window: ColumnCounts) -> tuple[Ints, Ints]:
    before: Mapping[Any, int] = dict(zip(reference.values, reference.counts, strict=True))
    now: Mapping[Any, int] = dict(zip(window.values, window.counts, strict=True))
    names = sorted(before.keys() | now.keys())
    rows = ([side.get(name, 0) for name in names] for side in (before, now))
    first, second = (np.array(row, dtype=np.int64) for row in rows)
    return first, second


def _missing_share(column: ColumnCounts | None) -> float | None:
    if column is None or column.n_rows == 0:
        return None
    return (column.n_missing + column.n_unreadable) / column.n_rows


def _unseen(reference: ColumnCounts | None, window: ColumnCounts | None) -> dict[str, int]:
    if reference is None or window is None or not reference.kind == window.kind == "category":
        return {}
    seen = set(reference.values)
    rows = zip(window.values, window.counts, strict=True)
    return {str(value): count for value, count in rows if value not in seen}


def _named(unseen: Mapping[str, int], min_rows: int) -> tuple[NewCategory, ...]:
    """Only what looks like a category: no formula, no control character, no long text."""
    fit = [name for name, n_rows in unseen.items() if n_rows >= min_rows and _may_be_named(name)]
    fit.sort(key=lambda name: (-unseen[name], name))
    return tuple(NewCategory(name, unseen[name]) for name in fit[:MAX_NAMED])


def _may_be_named(name: str) -> bool:
    return len(name) <= LONGEST_NAME and name.isprintable() and why_no_category(name) == "unseen-category"
