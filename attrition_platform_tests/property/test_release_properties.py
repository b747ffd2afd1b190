"""What is true after every sequence of releases, approvals, ramps, aborts, rollbacks and policy changes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from attrition_platform.errors import LateRunError, LedgerError, ReleaseError
from attrition_platform.ports import CROWNING, LedgerRecord, verify_chain
from attrition_platform.stages import release
from attrition_platform.stages.release import (
    approve,
    end_canary,
    put_forward,
    ramp,
    release_state,
    roll_back,
    start,
)
from attrition_platform_tests.unit.test_release import make_payload, make_platform, set_rule

versions = st.sampled_from(["v1", "v2", "v3", "v4"])
people = st.sampled_from(["Ana", " ana ", "ANA", "Bo", "bo  ", "Cy"])
modes = st.sampled_from(["canary", "canary", "shadow", "direct"])
needed_approvals = st.sampled_from([0, 0, 0, 1, 2])  # mostly none, or few sequences would reach traffic
AT = "2026-01-01T00:00:00.000+00:00"


class Releases(RuleBasedStateMachine):
    """Any operation at any time; a refusal must leave the ledger as it was."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._load, release.load_stored_scorer = release.load_stored_scorer, lambda *_: None  # type: ignore[assignment,return-value]
        self.platform = make_platform(Path(self._folder.name))
        self.stale: list[tuple[str, dict[str, Any]]] = []

    def teardown(self) -> None:
        release.load_stored_scorer = self._load
        self._folder.cleanup()

    @property
    def records(self) -> list[LedgerRecord]:
        return self.platform.ledger.records()

    @contextmanager
    def refused_without_a_trace(self) -> Iterator[None]:
        before = self.records
        try:
            yield
        except (ReleaseError, LateRunError, LedgerError):
            assert self.records == before

    @initialize(has_champion=st.booleans(), mode=modes, approvals=needed_approvals)
    def begin(self, has_champion: bool, mode: str, approvals: int) -> None:
        if has_champion:
            put_forward(self.platform, "v0", make_payload(self.platform, "v0"))
        set_rule(self.platform, mode, approvals)

    @rule(mode=modes, approvals=needed_approvals)
    def change_the_policy(self, mode: str, approvals: int) -> None:
        set_rule(self.platform, mode, approvals)

    @rule(version=versions)
    def train(self, version: str) -> None:
        champion = self.platform.ledger.champion()
        if champion is None or champion.version != version:
            with self.refused_without_a_trace():
                put_forward(self.platform, version, make_payload(self.platform, version))

    @rule(version=versions)
    def begin_a_slow_run(self, version: str) -> None:
        self.stale.append((version, make_payload(self.platform, version)))

    @precondition(lambda self: self.stale)
    @rule()
    def end_a_slow_run(self) -> None:
        version, payload = self.stale.pop(0)
        champion = self.platform.ledger.champion()
        if champion is None or champion.version != version:
            with self.refused_without_a_trace():
                put_forward(self.platform, version, payload)

    @rule(version=versions, by=people)
    def approve(self, version: str, by: str) -> None:
        with self.refused_without_a_trace():
            approve(self.platform, version, by, "why")

    @rule(by=people)
    def approve_what_waits(self, by: str) -> None:
        waiting = release_state(self.records).waiting
        if waiting is not None:
            self.approve(waiting.version, by)

    @rule()
    def ramp(self) -> None:
        with self.refused_without_a_trace():
            ramp(self.platform, by="sensor", reason="good", evidence={})

    @rule()
    def abort(self) -> None:
        with self.refused_without_a_trace():
            end_canary(self.platform, by="sensor", reason="bad", evidence={})

    @rule(to=st.none() | versions)
    def roll_back(self, to: str | None) -> None:
        with self.refused_without_a_trace():
            roll_back(self.platform, to, "why", "Ana")

    @rule()
    def record_something_else(self) -> None:
        self.platform.ledger.append("decision", "v1", {}, at=AT)

    @invariant()
    def at_most_one_canary_runs(self) -> None:
        running: set[int] = set()
        for record in self.records:
            if record.kind == "canary":
                assert not running, "a canary began while another ran"
                running = {record.seq}
            elif record.kind in (*CROWNING, "canary-end"):
                running = set()
        canary = release_state(self.records).canary
        assert running == (set() if canary is None else {canary.seq})

    @invariant()
    def stable_is_the_ledgers_champion_and_no_canary_of_itself(self) -> None:
        state = release_state(self.records)
        assert state.stable == self.platform.ledger.champion()
        if state.canary is not None:
            assert state.stable is not None
            assert state.canary.version != state.stable.version
            assert state.canary.payload["incumbent"] == state.stable.version
        serving = [] if state.stable is None else [state.stable.version]
        fallbacks = [record.version for record in state.earlier]
        assert len(set(serving + fallbacks)) == len(serving + fallbacks)

    @invariant()
    def what_waits_was_not_released_since(self) -> None:
        waiting = release_state(self.records).waiting
        if waiting is not None:
            later = [r for r in self.records if r.seq > waiting.seq]
            assert not [r for r in later if r.kind in (*CROWNING, "canary") and r.version == waiting.version]
            assert waiting.payload["incumbent"] == self._champion_version()

    @invariant()
    def a_release_of_a_proposal_has_enough_different_people(self) -> None:
        records = self.records
        for position, record in enumerate(records):
            needed = record.payload.get("approvals_needed")
            if needed is None or record.kind not in ("canary", "promotion"):
                continue
            proposal = max(
                r.seq for r in records[:position] if (r.kind, r.version) == ("proposal", record.version)
            )
            said = [r for r in records[:position] if r.kind == "approval" and r.seq > proposal]
            assert {r.version for r in said} == {record.version}
            names = [r.payload["by"].strip().casefold() for r in said]
            assert len(names) == len(set(names)), "one person approved twice"
            assert len(names) >= needed

    @invariant()
    def what_was_withdrawn_does_not_come_back_by_itself(self) -> None:
        gone: set[str] = set()
        for record in self.records:
            if record.kind in ("proposal", "canary"):
                assert record.version not in gone
            if record.kind == "promotion" and "canary" not in record.payload:
                assert record.version not in gone
            if record.kind == "canary-end":
                gone.add(record.version)
            elif record.kind == "rollback":
                gone.add(record.payload["from"])

    @invariant()
    def a_restart_finds_the_same_state(self) -> None:
        written = json.loads(json.dumps([vars(record) for record in self.records]))
        again = [LedgerRecord(**fields) for fields in written]
        assert release_state(again) == release_state(self.records)
        assert verify_chain(again).intact

    def _champion_version(self) -> str | None:
        champion = self.platform.ledger.champion()
        return None if champion is None else champion.version


class ReleasesWithoutARun(Releases):
    """The same where `start` is called by itself."""

    @rule(version=versions)
    def start_directly(self, version: str) -> None:
        champion = self.platform.ledger.champion()
        if champion is None or champion.version != version:
            with self.refused_without_a_trace():
                start(self.platform, version, make_payload(self.platform, version))


TestReleases = Releases.TestCase
TestReleases.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestManyReleases = pytest.mark.slow(ReleasesWithoutARun.TestCase)
TestManyReleases.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
