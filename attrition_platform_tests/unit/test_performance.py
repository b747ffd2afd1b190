"""What becomes of a prediction, what the matured ones are worth, and when a verdict is given."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest

from attrition_platform.modeling.watch_rules import PerformanceRule
from attrition_platform.monitoring.performance import (
    Performance,
    _below_floors,
    independent_labels,
    join_outcomes,
    judge_performance,
    measure,
    measure_all,
)

DAY = dt.timedelta(days=1)
START = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)  # a Monday
NOW = START + 200 * DAY
RULE = PerformanceRule()
Table = tuple[pl.DataFrame, pl.DataFrame]


def predictions(*rows: tuple[str, float], at: dt.datetime = START) -> pl.DataFrame:
    """Predictions of (employee, days after `at`)."""
    return pl.DataFrame(
        {
            "pseudonym": [who for who, _ in rows],
            "at": [at + days * DAY for _, days in rows],
            "version": ["m1"] * len(rows),
            "probability": [0.5] * len(rows),
            "flagged": [True] * len(rows),
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


def outcomes(*rows: tuple[str, float, bool]) -> pl.DataFrame:
    """Outcomes of (employee, days after `START`, left)."""
    return pl.DataFrame(
        {
            "pseudonym": [who for who, _, _ in rows],
            "date": [(START + days * DAY).date() for _, days, _ in rows],
            "left": [left for _, _, left in rows],
        },
        schema={"pseudonym": pl.String, "date": pl.Date, "left": pl.Boolean},
    )


def population(n: int, seed: int = 7, *, per_week: int = 100) -> Table:
    """Employees who leave with the chance that their prediction says; remote ones among them."""
    rng = np.random.default_rng(seed)
    who = [f"e{i:06}" for i in range(n)]
    p = rng.beta(2.0, 2.0, n)
    week = np.arange(n) // per_week
    given = pl.DataFrame(
        {
            "pseudonym": who,
            "at": [START + int(w) * 7 * DAY for w in week],
            "version": ["m1"] * n,
            "probability": p,
            "flagged": p >= 0.5,
            "remote": np.where(rng.random(n) < 0.3, "Yes", "No").tolist(),
        }
    )
    heard = pl.DataFrame(
        {
            "pseudonym": who,
            "date": [(START + (int(w) * 7 + 90) * DAY).date() for w in week],
            "left": rng.random(n) < p,
        }
    )
    return given, heard


def joined(table: Table, rule: PerformanceRule = RULE) -> pl.DataFrame:
    return join_outcomes(*table, now=START + 2000 * DAY, horizon_days=rule.horizon_days)


@pytest.mark.parametrize(
    ("heard", "left"),
    [
        (("a", 40.0, True), True),
        (("a", 0.0, True), True),
        (("a", 90.0, True), True),
        (("a", 91.0, True), False),
        (("a", 90.0, False), False),
        (("a", 140.0, False), False),
        (("a", 89.0, False), None),
        (("a", -1.0, True), None),
        (("b", 140.0, False), None),
        (("a", 201.0, False), None),
    ],
)
def test_an_outcome_matures_a_prediction_only_if_it_says_what_was_at_the_horizon(
    heard: tuple[str, float, bool], left: bool | None
) -> None:
    told = outcomes(heard, ("roster", 150, False))

    found = join_outcomes(predictions(("a", 0)), told, now=NOW, horizon_days=90)

    assert found["left"].to_list() == [left]


@pytest.mark.parametrize(("roster", "left"), [(89, [None, None, None]), (90, [True, False, None])])
def test_a_leaver_counts_when_those_who_stayed_do(roster: float, left: list[bool | None]) -> None:
    """Else all those who are heard of between two lists of who is there are leavers."""
    told = outcomes(("a", 10, True), ("b", 120, True), *((f"r{n}", roster, False) for n in range(3)))

    found = join_outcomes(predictions(("a", 0), ("b", 0), ("c", 0)), told, now=NOW, horizon_days=90)

    assert found["left"].to_list() == left


def test_leavers_alone_say_nothing() -> None:
    told = outcomes(("a", 10, True), ("b", 120, True))

    found = join_outcomes(predictions(("a", 0), ("b", 0)), told, now=NOW, horizon_days=90)

    assert found["left"].to_list() == [None, None]
    assert measure_all(found).n_unheard == 2


def test_a_single_notice_is_no_list_of_those_who_stayed() -> None:
    roster = [(f"r{n}", 80.0, False) for n in range(200)]
    told = outcomes(("a", 10, True), ("single", 150, False), *roster)

    found = join_outcomes(predictions(("a", 0)), told, now=NOW, horizon_days=90)

    assert found["left"].to_list() == [None]


@pytest.mark.parametrize("every", [7, 30, 80])
def test_a_model_that_is_right_is_never_blamed_for_hearing_of_leavers_first(every: int) -> None:
    """Leavers are told of daily, those who stay by a list every so many days."""
    rng = np.random.default_rng(3)
    chance = rng.beta(1.5, 6.0, 1_500)
    leaves_on = np.full(len(chance), 10_000)
    rows = []
    for begin in range(0, 450, 90):
        here = np.flatnonzero(leaves_on > begin)
        rows += [(f"e{i}", begin, chance[i]) for i in here]
        going = here[rng.random(len(here)) < chance[here]]
        leaves_on[going] = begin + rng.integers(1, 90, len(going))
    given = predictions(*((who, day) for who, day, _ in rows)).with_columns(
        pl.Series("probability", [p for *_, p in rows]), pl.Series("flagged", [p >= 0.3 for *_, p in rows])
    )
    seen = []
    for day in (79, 95, 110, 185, 200, 275):
        roster = day // every * every
        here = [(f"e{i}", min(on, roster), bool(on <= day)) for i, on in enumerate(leaves_on)]
        told = outcomes(*((who, leaves_on[int(who[1:])] if gone else at, gone) for who, at, gone in here))
        found = join_outcomes(given, told, now=START + day * DAY, horizon_days=90)
        floorless = PerformanceRule(min_recall=0.0)
        seen.append(judge_performance(found, floorless, version="m1").outcome)

    assert "concept-drift" not in seen
    assert seen[0] == "cannot-judge"
    assert seen[-1] == "ok"


def test_a_day_is_one_of_the_place_that_tells_the_outcomes() -> None:
    """Half past one in the night of 1 April in Greenwich is the evening of 31 March in Los Angeles."""
    given = predictions(("a", 0), at=dt.datetime(2026, 4, 1, 1, 30, tzinfo=dt.UTC))
    told = outcomes(("roster", 190, False)).vstack(
        pl.DataFrame({"pseudonym": ["a"], "date": [dt.date(2026, 3, 31)], "left": [True]})
    )
    late = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)

    there, in_utc = (
        join_outcomes(given, told, now=late, horizon_days=90, time_zone=zone)["left"].to_list()
        for zone in ("America/Los_Angeles", "UTC")
    )

    assert (there, in_utc) == ([True], [None])


def test_who_is_not_heard_of_never_counts_as_stayed() -> None:
    found = join_outcomes(predictions(("a", 0), ("b", 0)), outcomes(), now=NOW, horizon_days=90)

    assert found["left"].to_list() == [None, None]
    assert found["is_due"].to_list() == [True, True]
    whole = measure_all(found)
    assert (whole.n_matured, whole.n_unheard, whole.n_pending) == (0, 2, 0)
    assert set(whole.metrics.values()) == {None}


def test_nobody_counts_before_the_horizon_is_over() -> None:
    """Else an unfinished quarter would consist of leavers."""
    told = outcomes(("a", 10, True), ("b", 10, False))

    found = join_outcomes(predictions(("a", 0), ("b", 0)), told, now=START + 89 * DAY, horizon_days=90)

    assert found["left"].to_list() == [None, None]
    assert (measure_all(found).n_pending, measure_all(found).n_unheard) == (2, 0)


def test_the_horizon_is_over_to_the_hour() -> None:
    told = outcomes(("a", 90, False))
    hour = dt.timedelta(hours=1)

    early = join_outcomes(predictions(("a", 0)), told, now=START + 90 * DAY - hour, horizon_days=90)
    late = join_outcomes(predictions(("a", 0)), told, now=START + 90 * DAY, horizon_days=90)

    assert (early["left"].to_list(), late["left"].to_list()) == ([None], [False])


def test_the_latest_prediction_of_an_iso_week_counts_also_over_new_year() -> None:
    given = predictions(("a", 0), ("a", 2), ("a", 6.4), ("a", 7), ("b", 3))
    found = join_outcomes(given, outcomes(), now=NOW, horizon_days=90)
    assert found.select("pseudonym", "week").rows() == [
        ("b", "2026-W02"),
        ("a", "2026-W02"),
        ("a", "2026-W03"),
    ]
    assert found["at"].to_list()[1] == START + 6.4 * DAY

    turn = predictions(("a", 0), ("a", 3), at=dt.datetime(2025, 12, 30, tzinfo=dt.UTC))
    found = join_outcomes(turn, outcomes(), now=NOW, horizon_days=90)
    assert found["week"].to_list() == ["2026-W01"]


def test_times_may_be_microseconds() -> None:
    given = predictions(("a", 0))
    told = outcomes(("a", 40, True))
    as_numbers = given.with_columns(pl.col("at").cast(pl.Int64))

    found = join_outcomes(as_numbers, told, now=int(NOW.timestamp() * 1e6), horizon_days=90)

    assert found.equals(join_outcomes(given, told, now=NOW, horizon_days=90))


def test_an_employee_counts_once_within_a_horizon() -> None:
    weekly = predictions(*(("a", 7.0 * week) for week in range(20)), ("b", 3))
    found = join_outcomes(
        weekly,
        outcomes(("a", 700, True), ("b", 9, True), ("roster", 690, False)),
        now=NOW + 500 * DAY,
        horizon_days=90,
    )

    kept = independent_labels(found, 90)

    days = [(who, (at - START).days) for who, at in kept.select("pseudonym", "at").iter_rows()]
    assert days == [("a", 0), ("b", 3), ("a", 91)]


def test_metrics_by_week_and_version_are_what_a_pencil_gives() -> None:
    given = pl.concat(
        [predictions(("a", 0), ("b", 0), ("c", 0), ("d", 0), ("f", 0)), predictions(("e", 8))]
    ).with_columns(
        pl.Series("version", ["m1", "m1", "m1", "m1", "m2", "m1"]),
        pl.Series("probability", [0.9, 0.4, 0.6, 0.1, 0.5, 0.5]),
        pl.Series("flagged", [True, False, True, False, True, True]),
    )
    told = outcomes(("a", 9, True), ("b", 9, True), ("c", 99, False), ("d", 99, False), ("e", 20, True))

    first, second, third = measure(join_outcomes(given, told, now=NOW, horizon_days=90))

    assert [(w.week, w.version) for w in (first, second, third)] == [
        ("2026-W02", "m1"),
        ("2026-W02", "m2"),
        ("2026-W03", "m1"),
    ]
    values = {name: None if e is None else round(e.value, 4) for name, e in first.performance.metrics.items()}
    assert values == {
        "accuracy": 0.5,
        "recall": 0.5,
        "precision": 0.5,
        "roc_auc": 0.75,
        "calibration_in_the_large": 0.0,
        "calibration_error": 0.35,
    }
    assert (second.performance.n_matured, second.performance.n_unheard) == (0, 1)
    assert second.estimated.n_predictions == 1
    assert third.performance.metrics["roc_auc"] is None
    facts = [week.as_json() for week in (first, second, third)]
    assert set(facts[0]) == {"week", "version", "matured", "unknown", "estimated"}
    json.dumps(facts, allow_nan=False)


def test_a_few_employees_in_perfect_order_are_no_certainty() -> None:
    frame = joined(population(4)).with_columns(
        pl.Series("probability", [0.9, 0.8, 0.2, 0.1]), pl.Series("left", [True, True, False, False])
    )

    auc = measure_all(frame).metrics["roc_auc"]

    assert auc is not None
    assert auc.value == 1.0
    assert auc.low < 0.9


def test_an_honest_model_is_ok_and_the_three_kinds_stay_apart() -> None:
    given, heard = population(1_200)

    found = joined((given, heard.head(1_100)))
    verdict = judge_performance(found, RULE, version="m1", categories={"remote": ("No", "Yes")})

    assert verdict.outcome == "ok", verdict.reasons
    facts = verdict.as_json()
    assert facts["matured"]["n"] == 1_000
    assert facts["unknown"] == {"n": 100, "n_pending": 0, "n_unheard": 100}
    assert facts["estimated"]["n_predictions"] == 100
    json.dumps(facts, allow_nan=False)


def test_only_the_newest_labels_are_held_against_the_floors() -> None:
    given, heard = population(2_400, per_week=200)
    bad = heard.with_columns(pl.Series("left", [*heard["left"][:1_400], *(~given["flagged"][1_400:])]))
    good = heard.with_columns(pl.Series("left", [*(~given["flagged"][:1_400]), *heard["left"][1_400:]]))

    assert judge_performance(joined((given, bad)), RULE, version="m1").below_floor == ("accuracy", "recall")
    assert judge_performance(joined((given, good)), RULE, version="m1").below_floor == ()


@pytest.mark.parametrize(("hits", "outcome"), [(161, "below-floor"), (162, "ok")])
def test_below_a_floor_is_said_only_when_chance_would_hardly_do_it_at_any_look_of_a_year(
    hits: int, outcome: str
) -> None:
    """With probabilities near 0.5 nobody could do better; that is no concept drift, but it is too bad.

    The chance of 162 hits or fewer among 400 at a floor of a half is 0.000085, that of 161 is 0.000056;
    the limit of 0.05 / 2 / 365 lies between them.
    """
    given, heard = population(400, per_week=40)
    right = np.arange(400) < hits
    dull = given.with_columns(pl.Series("flagged", np.arange(400) % 2 == 0), probability=pl.lit(0.5))
    table = joined((dull, heard)).with_columns(pl.Series("left", (np.arange(400) % 2 == 0) == right))

    verdict = judge_performance(table, PerformanceRule(min_accuracy=0.5, min_recall=0.0), version="m1")

    assert (verdict.outcome, verdict.below_floor) == (outcome, ("accuracy",) if hits == 161 else ())
    assert hits == 162 or "below the floor" in verdict.reasons[0]


@pytest.mark.parametrize(("recall", "most"), [(0.55, 0.05), (0.57, 0.01)])
def test_a_year_of_looks_at_a_recall_that_keeps_its_floor_hardly_ever_has_an_alarm(
    recall: float, most: float
) -> None:
    """Weekly looks at fresh labels; an uncorrected interval alarms in 76 % and 27 % of such years."""
    rng = np.random.default_rng(4)
    n_leavers, n_years = 300, 400
    hits = rng.binomial(n_leavers, recall, (n_years, 52)).min(axis=1)
    rule = PerformanceRule(min_accuracy=0.0, min_recall=0.55)

    def is_below(n_hits: int) -> bool:
        hit = pl.Series(np.arange(n_leavers) < n_hits)
        frame = pl.DataFrame({"flagged": hit, "probability": 0.5, "left": True, "is_due": True})
        return "recall" in _below_floors(frame, measure_all(frame), rule)

    alarms = {int(n): is_below(int(n)) for n in np.unique(hits)}
    assert np.mean([alarms[int(n)] for n in hits]) <= most
    assert is_below(round(0.42 * n_leavers))


def test_concept_drift_is_named_with_its_column_even_above_the_floors() -> None:
    given, heard = population(3_000, per_week=250)
    remote = (given["remote"] == "Yes").to_numpy()
    flipped = np.where(remote, 1.0 - given["probability"].to_numpy(), given["probability"].to_numpy())
    left = np.random.default_rng(1).random(len(flipped)) < flipped

    verdict = judge_performance(
        joined((given, heard.with_columns(pl.Series("left", left)))),
        PerformanceRule(min_accuracy=0.0, min_recall=0.0),
        version="m1",
        categories={"remote": ("No", "Yes")},
    )

    assert (verdict.outcome, verdict.below_floor) == ("concept-drift", ())
    assert verdict.as_json()["concept"]["is_found"] is True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 99}, "99 outcomes are known"),
        ({"left": True}, "'left'"),
        ({"left": False}, "'stayed'"),
        ({"probability": float("nan")}, "no probability"),
        ({"probability": 1.5}, "no probability"),
        ({"probability": None}, "no probability"),
        ({"flagged": None}, "no flag"),
    ],
)
def test_what_can_not_be_judged_is_not_ok(change: dict[str, object], words: str) -> None:
    table = joined(population(400))
    if "n" in change:
        table = table.head(int(str(change.pop("n"))))
    columns = dict(change)
    if "left" not in columns:
        odd = pl.int_range(pl.len()) < 5
        table = table.with_columns(
            pl.when(odd).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
            for name, value in columns.items()
        )
    else:
        table = table.with_columns(pl.lit(columns["left"]).alias("left"))

    verdict = judge_performance(table, RULE, version="m1")

    assert verdict.outcome == "cannot-judge"
    assert words in " ".join(verdict.reasons)
    json.dumps(verdict.as_json(), allow_nan=False)


def test_a_few_unreadable_predictions_do_not_hide_what_the_others_show() -> None:
    table = joined(population(400))
    wrong = table.with_columns(~pl.col("left"))

    odd = pl.int_range(pl.len()) < 4
    few = wrong.with_columns(pl.when(odd).then(None).otherwise(pl.col("probability")).alias("probability"))

    verdict = judge_performance(few, RULE, version="m1")
    assert (verdict.outcome, verdict.window.n_unreadable) == ("concept-drift", 4)


def test_labels_are_counted_once_per_employee_and_horizon() -> None:
    given, heard = population(200)
    weekly = pl.concat(given.with_columns(pl.col("at") + week * 7 * DAY) for week in range(10))
    told = heard.with_columns(date=pl.lit((START + 400 * DAY).date()), left=pl.int_range(pl.len()) % 2 == 0)

    verdict = judge_performance(joined((weekly, told)), RULE, version="m1")

    assert (verdict.n_labels, verdict.window.n_matured) == (200, 200)
    assert verdict.as_json()["n_labels"] == 200


def test_who_waits_for_a_list_of_those_who_stayed_is_told_of() -> None:
    given, heard = population(400)
    verdict = judge_performance(joined((given, heard.filter("left"))), RULE, version="m1")

    assert verdict.outcome == "cannot-judge"
    assert "Of 400 predictions the horizon is over, but no list of those who stayed" in verdict.reasons[1]


def test_only_the_asked_version_is_judged() -> None:
    table = joined(population(400)).with_columns(
        pl.when(pl.int_range(pl.len()) < 350).then(pl.lit("m1")).otherwise(pl.lit("m2")).alias("version")
    )

    assert judge_performance(table, RULE, version="m1").window.n_matured == 350
    assert judge_performance(table, RULE, version="m2").outcome == "cannot-judge"
    assert judge_performance(table, RULE, version="m3").window == Performance(
        0, 0, 0, 0, 0, measure_all(table.clear()).metrics
    )
