"""Which causes start a run now, which wait, and what becomes of them when a run has ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from attrition_platform.modeling.watch_rules import CauseKind, TriggerRule
from attrition_platform.monitoring.triggering import (
    MAX_INTERRUPTIONS,
    Cause,
    CauseRecord,
    after_run,
    decide,
    main_cause,
    next_look,
    run_key,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def make_record(kind: CauseKind = "new-file", name: str = "a", found: datetime = NOON) -> CauseRecord:
    """A cause that was just found."""
    return CauseRecord(Cause(kind, f"{kind}/{name}", found, name, {}))


def started(record: CauseRecord, at: datetime = NOON, key: str = "earlier") -> CauseRecord:
    """A cause whose run was requested."""
    return replace(record, state="requested", n_attempts=1, run_key=key, requested_at=at)


def ended(record: CauseRecord, at: datetime = NOON, key: str = "earlier") -> CauseRecord:
    """A cause whose run succeeded."""
    return replace(started(record, at, key), state="done", ended_at=at)


def keys(records: tuple[CauseRecord, ...]) -> list[str]:
    return [record.cause.key for record in records]


def test_without_a_cause_nothing_starts_and_nothing_waits() -> None:
    decision = decide([], TriggerRule(), NOON)

    assert (decision.request, decision.waiting) == ((), {})


def test_causes_that_arrive_together_join_one_run() -> None:
    kinds: tuple[CauseKind, ...] = ("new-file", "event", "drift")
    found = decide([make_record(kind) for kind in kinds], TriggerRule(), NOON)

    assert keys(found.request) == ["drift/a", "new-file/a", "event/a"]
    assert len({record.run_key for record in found.request}) == 1
    assert {(r.state, r.n_attempts, r.requested_at) for r in found.request} == {("requested", 1, NOON)}


def test_while_a_run_is_under_way_later_causes_wait_and_are_told_which() -> None:
    found = decide([started(make_record()), make_record(name="b")], TriggerRule(), NOON)

    assert found.request == ()
    assert found.waiting == {"new-file/b": "Run earlier is under way."}


def test_a_kind_cools_down_after_its_run_and_then_starts() -> None:
    rule = TriggerRule(cooldown_minutes={"drift": 720.0})
    records = [ended(make_record("drift", "w1")), make_record("drift", "w2", NOON + MINUTE)]

    early = decide(records, rule, NOON + 719 * MINUTE)
    late = decide(records, rule, NOON + 720 * MINUTE)

    assert early.request == ()
    assert early.waiting == {"drift/w2": "Cools down until 2026-03-02T00:00+00:00."}
    assert keys(late.request) == ["drift/w2"]


def test_the_newest_run_of_the_same_kind_counts_and_no_other_kinds() -> None:
    runs = [
        ended(make_record("drift", "w1"), NOON, "k1"),
        ended(make_record("drift", "w2"), NOON + MINUTE, "k2"),
    ]
    later = NOON + 720 * MINUTE

    assert decide([*runs, make_record("drift", "w3")], TriggerRule(), later).request == ()
    assert decide([*runs, make_record("performance", "w3")], TriggerRule(), NOON + 2 * MINUTE).request


def test_another_kind_does_not_cool_down_and_takes_along_what_does() -> None:
    records = [ended(make_record("drift", "w1")), make_record("drift", "w2"), make_record("new-file")]
    found = decide(records, TriggerRule(), NOON + MINUTE)

    assert keys(found.request) == ["drift/w2", "new-file/a"]


def test_the_daily_cap_holds_causes_back_until_the_day_has_passed() -> None:
    rule = TriggerRule(max_runs_per_day=2)
    records = [
        ended(make_record(name="a"), NOON, "k1"),
        ended(make_record(name="b"), NOON + MINUTE, "k2"),
        make_record(name="c"),
    ]

    capped = decide(records, rule, NOON + timedelta(hours=23, minutes=59))
    free = decide(records, rule, NOON + timedelta(hours=24))

    assert capped.request == ()
    assert "2 runs were started within 24 hours, which is the policy's limit" in capped.waiting["new-file/c"]
    assert keys(free.request) == ["new-file/c"]


def test_causes_that_joined_one_run_count_as_one_against_the_cap() -> None:
    joined = [ended(make_record(name=name), NOON, "k1") for name in "abc"]

    assert decide([*joined, make_record(name="d")], TriggerRule(max_runs_per_day=2), NOON).request


def test_a_failed_cause_waits_for_its_back_off_and_does_not_hold_up_others() -> None:
    waits = replace(make_record(name="a"), n_attempts=1, run_key="k1", requested_at=NOON - MINUTE)
    waits = replace(waits, retry_at=NOON + MINUTE)

    alone = decide([waits], TriggerRule(), NOON)
    beside = decide([waits, make_record(name="b")], TriggerRule(), NOON)
    later = decide([waits], TriggerRule(), NOON + MINUTE)

    assert alone.request == ()
    assert alone.waiting == {"new-file/a": "Tried again at 2026-03-01T12:01+00:00, after a failed run."}
    assert keys(beside.request) == ["new-file/b"]
    assert [(r.cause.key, r.n_attempts) for r in later.request] == [("new-file/a", 2)]


@pytest.mark.parametrize("kind", ["drift", "performance", "volume"])
def test_a_retry_waits_for_its_back_off_only_not_for_its_own_kinds_cooldown(kind: CauseKind) -> None:
    failed = after_run(started(make_record(kind)), succeeded=False, rule=TriggerRule(), now=NOON)

    assert keys(decide([failed], TriggerRule(), NOON + 5 * MINUTE).request) == [f"{kind}/a"]


def test_two_of_a_kind_that_failed_in_one_run_do_not_hold_each_other_back() -> None:
    rule = TriggerRule()
    both = [started(make_record("drift", name)) for name in ("w1", "w2")]
    failed = [after_run(record, succeeded=False, rule=rule, now=NOON) for record in both]

    found = decide(failed, rule, NOON + 5 * MINUTE)

    assert keys(found.request) == ["drift/w1", "drift/w2"]
    assert next_look(failed[0], failed, rule, NOON) == NOON + 5 * MINUTE


def test_runs_that_no_cause_remembers_any_more_count_against_the_cap() -> None:
    rule = TriggerRule(max_runs_per_day=3)
    again = replace(started(make_record(), NOON + MINUTE, "k2"), state="open", retry_at=NOON)
    earlier = {"k1": NOON, "k2": NOON + MINUTE, "k0": NOON - timedelta(days=1)}

    assert decide([again], rule, NOON + 2 * MINUTE, earlier).request
    capped = decide([again], rule, NOON + 2 * MINUTE, earlier | {"k3": NOON})
    assert "3 runs were started" in capped.waiting["new-file/a"]


def test_done_and_ticketed_causes_start_nothing() -> None:
    ticketed = replace(ended(make_record(name="b")), state="ticketed")

    assert decide([ended(make_record()), ticketed], TriggerRule(), NOON + timedelta(days=9)).request == ()


def test_the_back_off_doubles_until_the_cause_is_a_ticket() -> None:
    rule = TriggerRule(max_attempts=4, backoff_minutes=5.0)
    record, waits = make_record("event"), []
    for attempt in range(1, 4):
        record = replace(record, state="requested", n_attempts=attempt, run_key="k", requested_at=NOON)
        record = after_run(record, succeeded=False, rule=rule, now=NOON)
        assert record.retry_at is not None
        waits.append(record.retry_at - NOON)
    last = after_run(replace(record, state="requested", n_attempts=4), succeeded=False, rule=rule, now=NOON)

    assert waits == [5 * MINUTE, 10 * MINUTE, 20 * MINUTE]
    assert (last.state, last.ended_at) == ("ticketed", NOON)


def test_a_run_that_succeeded_answers_its_causes() -> None:
    done = after_run(started(make_record()), succeeded=True, rule=TriggerRule(), now=NOON + MINUTE)

    assert (done.state, done.ended_at, done.n_attempts) == ("done", NOON + MINUTE, 1)


def test_the_same_causes_and_attempts_give_the_same_run_key_in_any_order_and_others_another() -> None:
    a, b = make_record(name="a"), make_record(name="b")

    assert run_key([a, b]) == run_key([b, a])
    assert len({run_key([a]), run_key([b]), run_key([a, b]), run_key([replace(a, n_attempts=1)])}) == 4


def test_a_run_of_several_causes_is_told_by_the_one_that_a_promotion_may_give_as_reason() -> None:
    assert main_cause([make_record("event"), make_record("new-file"), make_record("drift")]).kind == "drift"


def test_the_next_look_is_the_later_of_cooldown_and_back_off() -> None:
    rule = TriggerRule(cooldown_minutes={"drift": 60.0})
    before = ended(make_record("drift", "w1"))
    waits = replace(make_record("drift", "w2"), retry_at=NOON + 5 * MINUTE)

    assert next_look(waits, [waits], rule, NOON) == NOON + 5 * MINUTE
    assert next_look(waits, [before, waits], rule, NOON) == NOON + 60 * MINUTE
    assert next_look(make_record("drift", "w3"), [], rule, NOON) == NOON


def test_times_that_a_clock_which_ran_ahead_has_written_hold_up_nothing() -> None:
    year = timedelta(days=365)
    rule = TriggerRule(max_runs_per_day=1)
    before = ended(make_record("drift", "w0"), NOON + year)
    late = make_record("drift", "w1", NOON + year)
    backs_off = replace(started(make_record("event"), NOON + year), state="open", retry_at=NOON + year)

    assert keys(decide([before, late], rule, NOON, {"k": NOON + year}).request) == ["drift/w1"]
    assert keys(decide([backs_off], rule, NOON).request) == ["event/a"]
    assert next_look(backs_off, [before, backs_off], rule, NOON) == NOON


def test_a_run_that_a_person_cancelled_is_a_ticket_at_once() -> None:
    after = after_run(
        started(make_record()), succeeded=False, rule=TriggerRule(), now=NOON, stopped="cancelled"
    )

    assert (after.state, after.ended_at) == ("ticketed", NOON)


def test_a_run_that_was_interrupted_is_no_attempt_until_it_has_happened_a_few_times() -> None:
    rule = TriggerRule(max_attempts=1)
    record, now = make_record(), NOON
    for _ in range(MAX_INTERRUPTIONS):
        (record,) = decide([record], rule, now).request
        record = after_run(record, succeeded=False, rule=rule, now=now, stopped="interrupted")
        assert (record.state, record.retry_at) == ("open", None)
        now += timedelta(days=1)
    (record,) = decide([record], rule, now).request

    assert after_run(record, succeeded=False, rule=rule, now=now, stopped="interrupted").state == "ticketed"
