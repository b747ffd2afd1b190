"""From a passed challenger to all traffic, and back: one record at a time, on a ledger in memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters.ledger import SqlLedger
from attrition_platform.errors import LateRunError, LedgerError, ReleaseError, StoreError
from attrition_platform.modeling.policy import ReleaseRule, load_policy
from attrition_platform.ports import LedgerRecord
from attrition_platform.settings import Settings
from attrition_platform.stages import release
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release import (
    approve,
    end_canary,
    missing_approvals,
    put_forward,
    ramp,
    release_state,
    roll_back,
    start,
)
from attrition_platform_tests.adapters.memory_ledger import MemoryLedger

WHO: dict[str, Any] = {"by": "Ana", "reason": "because", "evidence": {}}


class FakeRegistry:
    """Remembers where the alias points; `is_down` lets it fail like a server that is gone."""

    def __init__(self) -> None:
        self.alias: str | None = None
        self.is_down = False

    def mirror_champion(self, model: str, version: str) -> bool:
        if self.is_down:
            raise ConnectionError("the registry is down")
        moved, self.alias = self.alias != version, version
        return moved


def make_platform(folder: Path, mode: str = "direct", approvals: int = 0, **canary: Any) -> Platform:
    """A platform whose ledger and registry are in memory and whose policy releases as asked."""
    settings = Settings.from_environment(
        {"ATTRITION_DATA": str(folder / "data"), "ATTRITION_KEY_FILE": str(folder / "key")}
    )
    platform = Platform(settings)
    set_rule(platform, mode, approvals, **canary)
    platform.__dict__["ledger"] = MemoryLedger()
    platform.__dict__["registry"] = FakeRegistry()
    return platform


def set_rule(platform: Platform, mode: str, approvals: int = 0, **canary: Any) -> None:
    """Change the policy's rule of releases."""
    rule = ReleaseRule.model_validate({"mode": mode, "approvals": approvals, "canary": canary})
    platform.__dict__["policy"] = load_policy("responsible").model_copy(update={"release": rule})


def make_payload(platform: Platform, version: str) -> dict[str, Any]:
    """What a training run says of a challenger that was compared with the champion of now."""
    champion = platform.ledger.champion()
    return {
        "incumbent": None if champion is None else champion.version,
        "files": {"model.json": version},
        "family": "logistic_regression",
        "threshold": 0.5,
        "reads": ["age"],
        "mlflow_version": f"mlflow-{version}",
        "runs": {"dagster": f"run-{version}", "mlflow": "m"},
    }


def offer(platform: Platform, version: str) -> LedgerRecord:
    """Put a challenger forward as `crown` does."""
    return put_forward(platform, version, make_payload(platform, version))


def kinds(platform: Platform) -> list[str]:
    return [record.kind for record in platform.ledger.records()]


@pytest.fixture(autouse=True)
def loadable(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every model loads, but those whose version is put into this set."""
    broken: set[str] = set()

    def load(_: Platform, files: dict[str, str]) -> None:
        if files["model.json"] in broken:
            raise StoreError("The model's file is missing.")

    monkeypatch.setattr(release, "load_stored_scorer", load)
    return broken


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Platform]:
    def build(mode: str = "direct", approvals: int = 0) -> Platform:
        """Stable `s1` serves, and the policy releases what comes next as asked."""
        platform = make_platform(tmp_path)
        offer(platform, "s1")
        set_rule(platform, mode, approvals)
        return platform

    return build


# --- what gets traffic, and how much


@pytest.mark.parametrize("mode", ["direct", "canary", "shadow"])
def test_the_first_champion_ever_gets_all_traffic(tmp_path: Path, mode: str) -> None:
    """There is no stable model to hold it against, and nobody else to answer."""
    platform = make_platform(tmp_path, mode)

    assert offer(platform, "c1").kind == "promotion"
    assert release_state(platform.ledger.records()).canary is None


def test_in_direct_mode_a_challenger_gets_all_traffic(make: Callable[..., Platform]) -> None:
    platform = make("direct")
    record = offer(platform, "c1")

    state = release_state(platform.ledger.records())
    assert (record.kind, state.stable, state.canary) == ("promotion", record, None)
    assert [earlier.version for earlier in state.earlier] == ["s1"]


@pytest.mark.parametrize(("mode", "share"), [("canary", 0.1), ("shadow", 0.0)])
def test_a_canary_gets_its_share_and_a_shadow_none(
    make: Callable[..., Platform], mode: str, share: float
) -> None:
    platform = make(mode)
    record = offer(platform, "c1")

    state = release_state(platform.ledger.records())
    assert (record.kind, record.payload["mode"], record.payload["share"]) == ("canary", mode, share)
    assert state.canary == record
    assert state.stable is not None
    assert state.stable.version == "s1"
    assert platform.ledger.champion() == state.stable


def test_a_model_that_does_not_load_gets_no_traffic(
    make: Callable[..., Platform], loadable: set[str]
) -> None:
    platform = make("canary")
    loadable.add("c1")

    with pytest.raises(StoreError, match="missing"):
        offer(platform, "c1")
    assert kinds(platform) == ["promotion"]


@pytest.mark.parametrize("mode", ["direct", "canary", "shadow"])
def test_a_late_run_changes_nothing(make: Callable[..., Platform], mode: str) -> None:
    """It compared with a champion that is none any more."""
    platform = make("direct")
    late = make_payload(platform, "c1")
    offer(platform, "s2")
    set_rule(platform, mode)
    before = platform.ledger.records()

    for call in (put_forward, start):
        with pytest.raises(LateRunError):
            call(platform, "c1", late)
    set_rule(platform, mode, approvals=1)
    with pytest.raises(LateRunError):
        put_forward(platform, "c1", late)
    assert platform.ledger.records() == before


def test_a_second_canary_waits_until_the_first_has_ended(make: Callable[..., Platform]) -> None:
    platform = make("canary")
    offer(platform, "c1")
    with pytest.raises(ReleaseError, match=r"Canary c1 is still running.*attrition canary status"):
        offer(platform, "c2")
    assert kinds(platform) == ["promotion", "canary"]

    end_canary(platform, **WHO)
    assert offer(platform, "c2").kind == "canary"


def test_a_version_that_is_put_forward_again_is_not_started_again(make: Callable[..., Platform]) -> None:
    """Each night's run decides again on the same challenger."""
    platform = make("canary")
    record = offer(platform, "c1")

    assert offer(platform, "c1") == record
    assert start(platform, "c1", make_payload(platform, "c1")) == record
    assert kinds(platform) == ["promotion", "canary"]


# --- the ends of a canary


def test_a_ramp_makes_the_canary_champion_and_moves_the_alias(make: Callable[..., Platform]) -> None:
    platform = make("canary")
    canary = offer(platform, "c1")
    record = ramp(platform, by="Ana", reason="it is good", evidence={"n": 1})

    state = release_state(platform.ledger.records())
    assert (state.stable, state.canary) == (record, None)
    assert record.payload["canary"] == canary.seq
    assert record.payload["evidence"] == {"n": 1}
    assert not {"mode", "share"} & record.payload.keys()
    assert record.payload["files"] == canary.payload["files"]
    assert platform.registry.alias == "mlflow-c1"  # type: ignore[attr-defined]


def test_an_ended_canary_leaves_stable_alone_and_does_not_come_back(make: Callable[..., Platform]) -> None:
    platform = make("canary")
    offer(platform, "c1")
    record = end_canary(platform, by="sensor", reason="errors", evidence={"n": 1})

    state = release_state(platform.ledger.records())
    assert state.canary is None
    assert state.stable is not None
    assert state.stable.version == "s1"
    assert (record.payload["stable"], record.payload["mode"]) == ("s1", "canary")
    for mode, approvals in (("canary", 0), ("shadow", 0), ("direct", 0), ("canary", 2)):
        set_rule(platform, mode, approvals)
        with pytest.raises(ReleaseError, match="does not come back by itself"):
            offer(platform, "c1")
        with pytest.raises(ReleaseError, match="does not come back by itself"):
            start(platform, "c1", make_payload(platform, "c1"))


@pytest.mark.parametrize("act", [ramp, end_canary])
def test_without_a_canary_there_is_nothing_to_ramp_or_end(make: Callable[..., Platform], act: Any) -> None:
    platform = make("canary")
    with pytest.raises(ReleaseError, match=r"No canary is running.*attrition canary status"):
        act(platform, **WHO)
    assert kinds(platform) == ["promotion"]


@pytest.mark.parametrize("act", [ramp, end_canary])
def test_evidence_about_one_canary_does_not_decide_about_the_next(
    make: Callable[..., Platform], act: Any
) -> None:
    platform = make("canary")
    first = offer(platform, "c1")
    end_canary(platform, **WHO)
    offer(platform, "c2")

    with pytest.raises(ReleaseError, match=f"Canary c2 .* runs, not the one of record {first.seq}"):
        act(platform, **WHO, of=first.seq)
    assert kinds(platform)[-1] == "canary"


def test_a_registry_that_is_down_does_not_undo_or_hide_a_release(
    make: Callable[..., Platform], caplog: pytest.LogCaptureFixture
) -> None:
    """The ledger is what serves; each run repairs the alias."""
    platform = make("canary")
    platform.registry.is_down = True  # type: ignore[attr-defined]
    offer(platform, "c1")

    assert ramp(platform, **WHO).kind == "promotion"
    assert roll_back(platform, None, "why", "Ana").version == "s1"
    assert "the next training run moves it" in caplog.text


# --- approval


def test_nothing_reaches_traffic_before_enough_people_approved(make: Callable[..., Platform]) -> None:
    platform = make("canary", approvals=2)
    assert offer(platform, "c1abc").kind == "proposal"

    approval, released = approve(platform, "c1", "Ana", "looked at the card")
    assert (approval.payload["by"], released) == ("Ana", None)
    state = release_state(platform.ledger.records())
    assert state.canary is None
    assert missing_approvals(platform, state) == 1

    _, released = approve(platform, "c1abc", "Bo", "looked at the audit")
    assert released is not None
    assert (released.kind, released.version) == ("canary", "c1abc")
    assert release_state(platform.ledger.records()).waiting is None


def test_the_first_champion_needs_its_approvals_too(tmp_path: Path) -> None:
    platform = make_platform(tmp_path, "canary", approvals=1)
    offer(platform, "c1")
    assert platform.ledger.champion() is None

    _, released = approve(platform, "c1", "Ana", "why")
    assert released is not None
    assert released.kind == "promotion"
    assert platform.registry.alias == "mlflow-c1"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "again", ["Ana Lee", "ANA LEE", "  ana   lee ", "Ana\u00a0Lee", "Ana\u200b Lee", "Ａna Lee", "ana\tlee"]
)
def test_another_spelling_is_not_another_person(make: Callable[..., Platform], again: str) -> None:
    platform = make("canary", approvals=2)
    offer(platform, "c1")
    approve(platform, "c1", "Ana Lee", "why")

    with pytest.raises(ReleaseError, match="has approved c1 already; another person must"):
        approve(platform, "c1", again, "why")
    assert kinds(platform).count("approval") == 1


@pytest.mark.parametrize(("by", "reason"), [("", "why"), (" \u200b ", "why"), ("Ana", " ")])
def test_an_approval_needs_a_name_and_a_reason(make: Callable[..., Platform], by: str, reason: str) -> None:
    platform = make("canary", approvals=1)
    offer(platform, "c1")

    with pytest.raises(ReleaseError, match="needs a name and a reason"):
        approve(platform, "c1", by, reason)
    assert kinds(platform)[-1] == "proposal"


@pytest.mark.parametrize("version", ["c2", "", "c1x"])
def test_only_what_waits_can_be_approved(make: Callable[..., Platform], version: str) -> None:
    platform = make("canary", approvals=1)
    with pytest.raises(ReleaseError, match="nothing waits for approval"):
        approve(platform, "c1", "Ana", "why")
    offer(platform, "c1")

    with pytest.raises(ReleaseError, match="what waits is c1"):
        approve(platform, version, "Ana", "why")


def test_the_last_approval_is_not_recorded_where_the_release_can_not_follow(
    make: Callable[..., Platform], loadable: set[str]
) -> None:
    """Otherwise nobody new may be left who could approve once the obstacle is gone."""
    platform = make("canary")
    offer(platform, "c1")
    set_rule(platform, "canary", approvals=1)
    offer(platform, "c2")

    with pytest.raises(ReleaseError, match=r"Canary c1 is still running.*nothing was changed"):
        approve(platform, "c2", "Ana", "why")
    end_canary(platform, **WHO)
    loadable.add("c2")
    with pytest.raises(StoreError):
        approve(platform, "c2", "Ana", "why")
    assert "approval" not in kinds(platform)

    loadable.clear()
    _, released = approve(platform, "c2", "Ana", "why")
    assert released is not None
    assert released.kind == "canary"


@pytest.mark.parametrize("by_run", [True, False])
def test_a_release_that_was_cut_off_after_the_last_approval_is_made_up_for(
    make: Callable[..., Platform], by_run: bool
) -> None:
    platform = make("canary", approvals=1)
    waiting = offer(platform, "c1")
    said = {"by": "Ana", "reason": "why", "proposal": waiting.seq}
    platform.ledger.append("approval", "c1", said, at="2026-01-01T00:00:00.000+00:00")

    released = offer(platform, "c1") if by_run else approve(platform, "c1", "Ana", "why")[1]
    assert released is not None
    assert released.kind == "canary"
    assert kinds(platform).count("approval") == 1


def test_two_approvals_of_one_person_count_once(make: Callable[..., Platform]) -> None:
    """Two processes may have written them at once on different machines."""
    platform = make("canary", approvals=2)
    waiting = offer(platform, "c1")
    for by in ("Ana", "ana"):
        said = {"by": by, "reason": "why", "proposal": waiting.seq}
        platform.ledger.append("approval", "c1", said, at="2026-01-01T00:00:00.000+00:00")

    assert offer(platform, "c1") == waiting
    assert approve(platform, "c1", "Bo", "why")[1] is not None


def test_a_policy_that_became_stricter_counts_for_what_waits(make: Callable[..., Platform]) -> None:
    platform = make("canary", approvals=1)
    offer(platform, "c1")
    set_rule(platform, "canary", approvals=2)

    assert approve(platform, "c1", "Ana", "why")[1] is None
    assert approve(platform, "c1", "Bo", "why")[1] is not None


def test_a_new_proposal_replaces_the_waiting_one_and_its_approvals(make: Callable[..., Platform]) -> None:
    platform = make("canary", approvals=2)
    offer(platform, "c1")
    approve(platform, "c1", "Ana", "why")
    offer(platform, "c2")

    state = release_state(platform.ledger.records())
    assert state.waiting is not None
    assert (state.waiting.version, state.approvals) == ("c2", ())
    approve(platform, "c2", "Ana", "why")
    with pytest.raises(ReleaseError, match="what waits is c2"):
        approve(platform, "c1", "Bo", "why")


def test_a_proposal_ends_with_the_champion_that_it_was_compared_with(make: Callable[..., Platform]) -> None:
    """It used to stay for ever: no approval could release it, and no run could propose it anew."""
    platform = make("direct")
    offer(platform, "s2")
    set_rule(platform, "direct", approvals=1)
    offer(platform, "c1")
    roll_back(platform, None, "why", "Ana")

    with pytest.raises(ReleaseError, match="nothing waits"):
        approve(platform, "c1", "Ana", "why")
    assert offer(platform, "c1").kind == "proposal"
    assert approve(platform, "c1", "Ana", "why")[1] is not None


# --- rollback


def test_a_rollback_during_a_canary_ends_it(make: Callable[..., Platform]) -> None:
    platform = make("direct")
    offer(platform, "s2")
    set_rule(platform, "canary")
    offer(platform, "c1")
    record = roll_back(platform, None, "why", "Ana")

    state = release_state(platform.ledger.records())
    assert (record.version, state.stable, state.canary) == ("s1", record, None)
    with pytest.raises(ReleaseError, match="No canary"):
        ramp(platform, **WHO)


def test_a_ramped_canary_can_be_rolled_back_and_stays_away(make: Callable[..., Platform]) -> None:
    platform = make("canary")
    offer(platform, "c1")
    ramp(platform, **WHO)

    assert roll_back(platform, None, "why", "Ana").version == "s1"
    with pytest.raises(ReleaseError, match="does not come back"):
        offer(platform, "c1")


def test_a_canary_that_never_got_all_traffic_is_nothing_to_go_back_to(make: Callable[..., Platform]) -> None:
    platform = make("canary")
    offer(platform, "c1")
    end_canary(platform, **WHO)

    for to in (None, "c1"):
        with pytest.raises(LedgerError, match="to go back to"):
            roll_back(platform, to, "why", "Ana")


def test_a_rollback_to_a_damaged_model_moves_nothing(
    make: Callable[..., Platform], loadable: set[str]
) -> None:
    platform = make("direct")
    offer(platform, "s2")
    loadable.add("s1")
    before = platform.ledger.records()

    with pytest.raises(StoreError):
        roll_back(platform, None, "why", "Ana")
    assert platform.ledger.records() == before


def test_a_second_rollback_goes_further_back(make: Callable[..., Platform]) -> None:
    platform = make("direct")
    for version in ("s2", "s3"):
        offer(platform, version)

    assert [roll_back(platform, None, "why", "Ana").version for _ in range(2)] == ["s2", "s1"]
    state = release_state(platform.ledger.records())
    assert [record.version for record in state.earlier] == ["s2", "s3"]


def test_a_rollback_does_not_return_what_was_rolled_back_before(make: Callable[..., Platform]) -> None:
    """`s2` is known to be bad: after s1, s2, back to s1, s3 the champion before s3 is s1."""
    platform = make("direct")
    offer(platform, "s2")
    roll_back(platform, None, "s2 is bad", "Ana")
    offer(platform, "s3")

    state = release_state(platform.ledger.records())
    assert [record.version for record in state.earlier] == ["s1", "s2"]
    assert roll_back(platform, None, "s3 is bad, too", "Ana").version == "s1"
    with pytest.raises(LedgerError, match="no earlier champion"):
        roll_back(platform, None, "and now", "Ana")
    assert roll_back(platform, "s2", "a person may still choose it", "Ana").version == "s2"


def test_what_was_rolled_back_stands_in_last(make: Callable[..., Platform]) -> None:
    """Where the champion can't be loaded, a version that a person took away serves only before none does."""
    platform = make("direct")
    offer(platform, "s2")
    offer(platform, "s3")
    roll_back(platform, None, "s3 is bad", "Ana")

    state = release_state(platform.ledger.records())
    assert [record.version for record in state.earlier] == ["s1", "s3"]


# --- two at once, and a restart


def _act(folder: Path, name: str, barrier: Any, outcomes: Any) -> None:
    platform = make_platform(folder, "canary", approvals=0)
    platform.__dict__["ledger"] = SqlLedger(f"sqlite:///{folder / 'ledger.sqlite'}")
    barrier.wait()
    try:
        (ramp if name == "ramp" else end_canary)(platform, by=name, reason="now", evidence={})
        outcomes.put(name)
    except (ReleaseError, LateRunError) as error:
        outcomes.put(type(error).__name__)


@pytest.mark.slow
def test_an_abort_and_a_ramp_at_once_have_one_winner(tmp_path: Path) -> None:
    """A canary that a person has just aborted must not get all traffic by the verdict."""
    context = multiprocessing.get_context("fork")
    for turn in range(5):
        folder = tmp_path / str(turn)
        folder.mkdir()
        platform = make_platform(folder)
        platform.__dict__["ledger"] = SqlLedger(f"sqlite:///{folder / 'ledger.sqlite'}")
        offer(platform, "s1")
        set_rule(platform, "canary")
        offer(platform, "c1")
        barrier, outcomes = context.Barrier(2), context.Queue()
        both = [context.Process(target=_act, args=(folder, n, barrier, outcomes)) for n in ("ramp", "abort")]
        for process in both:
            process.start()
        said = sorted(outcomes.get(timeout=60) for _ in both)
        for process in both:
            process.join()

        assert said in (["ReleaseError", "abort"], ["ReleaseError", "ramp"])
        assert len(platform.ledger.records()) == 3


def test_a_release_that_hangs_is_told_to_the_next(
    make: Callable[..., Platform], monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = make("canary")
    monkeypatch.setattr(release, "_LOCK_SECONDS", 0.05)
    with (
        release._alone(platform),
        pytest.raises(ReleaseError, match="Another release or rollback is at work"),
    ):
        offer(platform, "c1")
    assert offer(platform, "c1").kind == "canary"


def test_a_data_folder_that_can_not_be_written_is_said(make: Callable[..., Platform]) -> None:
    platform = make("direct")
    offer(platform, "s2")
    lock = platform.settings.data_dir / "ledger" / f"{platform.contract.name}.release.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()  # root may write everywhere, but not into a folder's place
    before = platform.ledger.records()

    with pytest.raises(ReleaseError, match="can't be written"):
        roll_back(platform, None, "why", "Ana")
    assert platform.ledger.records() == before


def test_records_of_other_kinds_change_no_state(make: Callable[..., Platform]) -> None:
    platform = make("canary")
    offer(platform, "c1")
    set_rule(platform, "canary", approvals=1)
    offer(platform, "c2")
    before = release_state(platform.ledger.records())
    at = "2026-01-01T00:00:00.000+00:00"
    platform.ledger.append("decision", "c1", {}, at=at)
    platform.ledger.append("test-read", "d", {"run_id": "r"}, at=at)
    stray = replace(platform.ledger.records()[-1], kind="approval", version="c9", payload={"by": "Eve"})

    assert before.canary is not None
    assert before.waiting is not None
    for record in (stray, replace(stray, kind="canary-end")):
        assert replace(release_state([*platform.ledger.records(), record]), newest=before.newest) == before
    assert release_state(platform.ledger.records()) == before
