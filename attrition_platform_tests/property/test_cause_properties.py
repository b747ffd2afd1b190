"""Whatever is found whenever, and however runs end: never too many, never twice, never forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from attrition_platform.modeling.watch_rules import CauseKind, TriggerRule
from attrition_platform.monitoring.triggering import Cause, CauseRecord, after_run, decide

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KINDS: tuple[CauseKind, ...] = get_args(CauseKind)
MAX_STEPS = 2_000
FEW = settings(max_examples=40, deadline=None)

rules = st.builds(
    TriggerRule,
    cooldown_minutes=st.dictionaries(st.sampled_from(KINDS), st.sampled_from([0.0, 7.0, 60.0, 720.0])),
    max_runs_per_day=st.integers(1, 5),
    max_attempts=st.integers(1, 4),
    backoff_minutes=st.sampled_from([1.0, 5.0, 60.0]),
)
arrivals = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 600)), min_size=1, max_size=12)
endings = st.lists(st.booleans(), max_size=60)


@dataclass
class World:
    """Causes that arrive, runs that take seven minutes, and how each of them ends."""

    rule: TriggerRule
    endings: Iterator[bool]
    records: dict[str, CauseRecord] = field(default_factory=dict)
    runs: list[tuple[str, datetime, tuple[CauseRecord, ...]]] = field(default_factory=list)

    def find(self, kind: CauseKind, name: int, at: datetime) -> None:
        cause = Cause(kind, f"{kind}/{name}", at, str(name), {})
        self.records.setdefault(cause.key, CauseRecord(cause))

    def step(self, now: datetime) -> None:
        """One tick: a run that is over is settled, then what may start does."""
        requested = [r for r in self.records.values() if r.state == "requested"]
        if requested and now - self.runs[-1][1] >= 7 * MINUTE:
            succeeded = next(self.endings, True)
            for record in requested:
                self.records[record.cause.key] = after_run(
                    record, succeeded=succeeded, rule=self.rule, now=now
                )
        earlier = {key: at for key, at, _ in self.runs}
        decision = decide(list(self.records.values()), self.rule, now, earlier)
        if decision.request:
            self.runs.append((str(decision.request[0].run_key), now, decision.request))
            self.records |= {record.cause.key: record for record in decision.request}
        is_open = {key for key, record in self.records.items() if record.state == "open"}
        assert set(decision.waiting) == is_open, "what waits is told why, and nothing else is"

    @property
    def is_over(self) -> bool:
        return all(record.state in ("done", "ticketed") for record in self.records.values())


def live(rule: TriggerRule, found: list[tuple[CauseKind, int]], ends: list[bool]) -> World:
    """Let causes arrive, each twice, and tick until all of them are answered or are tickets."""
    world, now = World(rule, iter(ends)), START
    due = sorted((minute, name, kind) for name, (kind, minute) in enumerate(found))
    for _ in range(MAX_STEPS):
        while due and START + due[0][0] * MINUTE <= now:
            _, name, kind = due.pop(0)
            world.find(kind, name, now)
            world.find(kind, name, now)
        world.step(now)
        if world.is_over and not due:
            return world
        # Busy at first, then by the hour, so that a year of waiting costs few steps.
        now += MINUTE if now - START < 600 * MINUTE else 60 * MINUTE
    raise AssertionError(f"still waiting after {now - START}: {world.records}")


@FEW
@given(rule=rules, found=arrivals, ends=endings)
def test_every_cause_is_answered_or_becomes_a_ticket(
    rule: TriggerRule, found: list[tuple[CauseKind, int]], ends: list[bool]
) -> None:
    world = live(rule, found, ends)

    for record in world.records.values():
        requested = [
            key for key, _, joined in world.runs if record.cause.key in {r.cause.key for r in joined}
        ]
        assert len(requested) == len(set(requested)) == record.n_attempts <= rule.max_attempts
        assert record.state == "done" or record.n_attempts == rule.max_attempts


@FEW
@given(rule=rules, found=arrivals, ends=endings)
def test_runs_have_names_of_their_own_and_no_two_are_under_way_at_once(
    rule: TriggerRule, found: list[tuple[CauseKind, int]], ends: list[bool]
) -> None:
    runs = live(rule, found, ends).runs

    assert len({key for key, _, _ in runs}) == len(runs)
    assert all(later - earlier >= 7 * MINUTE for (_, earlier, _), (_, later, _) in pairwise(runs))


@FEW
@given(rule=rules, found=arrivals, ends=endings)
def test_no_day_has_more_runs_than_the_policy_says(
    rule: TriggerRule, found: list[tuple[CauseKind, int]], ends: list[bool]
) -> None:
    """Whichever day is looked at: attempts at one cause are runs like all others."""
    starts = [at for _, at, _ in live(rule, found, ends).runs]

    for first in starts:
        assert sum(timedelta(0) <= at - first < timedelta(days=1) for at in starts) <= rule.max_runs_per_day


@FEW
@given(rule=rules, kind=st.sampled_from(KINDS), every=st.integers(1, 20))
def test_an_endless_stream_of_causes_starves_none(rule: TriggerRule, kind: CauseKind, every: int) -> None:
    """However many come before and after it: one cooldown, one day and one run later it is answered."""
    world = World(rule, iter(()))
    for minute in range(0, 60 + 1440 + int(rule.cooldown_minutes[kind]) + 15, 5):
        now = START + minute * MINUTE
        if minute == 60:
            world.find(kind, 0, now)
        if minute % every == 0:
            world.find(KINDS[minute % len(KINDS)], minute + 1, now)
        world.step(now)

    assert world.records[f"{kind}/0"].state == "done"


@given(rule=rules, kind=st.sampled_from(KINDS), minutes=st.integers(0, 800))
def test_two_runs_of_a_kind_are_a_cooldown_apart(rule: TriggerRule, kind: CauseKind, minutes: int) -> None:
    roomy = rule.model_copy(update={"max_runs_per_day": 24})
    runs = live(roomy, [(kind, 0), (kind, min(minutes, 600))], []).runs

    assert len(runs) in (1, 2)
    if len(runs) == 2:
        assert runs[1][1] - runs[0][1] >= rule.cooldown_minutes[kind] * MINUTE
