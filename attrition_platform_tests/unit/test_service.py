"""The service from outside: what it answers, what it refuses, and what the log then holds."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from attrition_platform.adapters.api_keys import ApiKeys
from attrition_platform.errors import PredictionLogError
from attrition_platform.ports import LedgerRecord
from attrition_platform.scoring.compiled import to_probability
from attrition_platform.serving import host
from attrition_platform.serving.app import build_app
from attrition_platform.serving.host import MAX_ARMS, RETRY_SECONDS, ModelHost
from attrition_platform.serving.metrics import Metrics
from attrition_platform.serving.routes import ONE_BYTES
from attrition_platform.serving.service import PredictionService
from attrition_platform.stages.platform import Platform
from attrition_platform_tests.adapters.memory_prediction_log import MemoryPredictionLog
from attrition_platform_tests.served_place import EMPLOYEE, fitted, make_platform, record, write_policy

V1, V2 = "1" * 16, "2" * 16
EVERYBODY = 1.0  # more than a policy allows; which people a smaller share has, hangs on the key
HOST = "http://127.0.0.1:8000"


class Site:
    """A running application without a socket, and what is behind it."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.alerts: list[tuple[str, str]] = []
        self.log = MemoryPredictionLog()
        self.host = ModelHost(platform, self.take_alert, aside=lambda send: send())
        self.host.refresh()
        self.service = PredictionService(self.host, self.log, Metrics())
        self.keys = ApiKeys(platform.settings.data_dir / "api_keys.json", platform.key)

    def take_alert(self, kind: str, text: str, _: Mapping[str, Any]) -> None:
        self.alerts.append((kind, text))

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send one request as a program of this machine."""
        return self.ask_all([(method, path, request)])[0]

    def ask_all(
        self, requests: list[tuple[str, str, Mapping[str, Any]]], *, loopback: bool = True, base: str = HOST
    ) -> list[httpx.Response]:
        async def run() -> list[httpx.Response]:
            app = build_app(self.platform, self.service, self.keys, loopback=loopback)
            transport = httpx.ASGITransport(app, client=("127.0.0.1", 4711))
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return [await client.request(method, path, **given) for method, path, given in requests]

        return asyncio.run(run())

    def predict(self, **changes: Any) -> httpx.Response:
        """Ask about the usual employee with some fields changed."""
        return self.ask("POST", "/predict", json={**EMPLOYEE, **changes})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    platform = make_platform(tmp_path)
    record(platform, V1)
    site = Site(platform)
    yield site
    site.service.close()


def test_an_answer_says_what_it_must_and_the_log_says_the_same(site: Site) -> None:
    answer = site.predict()

    told, (logged,) = answer.json(), site.log.since(0)
    assert answer.status_code == 200
    assert told["label"] == ("Left" if told["probability"] >= 0.5 else "Stayed")
    assert (told["model_version"], told["variant"], told["tier"]) == (V1, "stable", logged.tier)
    assert (told["id"], told["score"], told["probability"]) == (logged.id, logged.score, logged.probability)
    assert told["reasons"][0]["text"].endswith(" the risk")
    assert told["recommendation"] == site.platform.policy.advice.high
    assert logged.inputs is None, "the responsible policy keeps no inputs"
    assert logged.client == "local"


def test_the_logged_score_can_be_recomputed_bit_for_bit(tmp_path: Path) -> None:
    platform = make_platform(tmp_path, write_policy(tmp_path, "\n[serving]\nlog_inputs = true\n"))
    record(platform, V1)
    site = Site(platform)
    for pay in (1_000, 2_345.678, 9_999.99):
        site.predict(pay=pay)

    _, compiled, _ = fitted("logistic_regression", 1)
    arm = site.host.predictor.stable  # type: ignore[union-attr]
    for logged in site.log.since(0):
        score, _ = arm.score(arm.reader.read(json.loads(str(logged.inputs))))
        assert score == logged.score
        assert to_probability(score, compiled.link) == logged.probability


def test_the_same_employee_has_one_pseudonym_and_the_id_is_nowhere(site: Site) -> None:
    site.predict()
    site.predict(pay=8_000)
    site.predict(person="18")

    first, second, other = site.log.since(0)
    assert first.pseudonym == second.pseudonym != other.pseudonym
    assert first.inputs_hash != second.inputs_hash
    assert "17" not in (first.pseudonym, first.id)


def test_without_an_id_the_inputs_stand_for_the_person(site: Site) -> None:
    for person in (None, None, ""):
        changes = {} if person is None else {"person": person}
        fields = {k: v for k, v in EMPLOYEE.items() if k != "person"} | changes
        assert site.ask("POST", "/predict", json=fields).status_code in (200, 422)

    logged = site.log.since(0)
    assert all(one.pseudonym == one.inputs_hash for one in logged)


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"pay": "a lot"}, "pay", "not-a-number"),
        ({"pay": -1}, "pay", "out-of-range"),
        ({"pay": None}, "pay", "missing"),
        ({"pay": True}, "pay", "not-a-number"),
        ({"level": "Boss"}, "level", "unseen-category"),
        ({"promotions": 1.5}, "promotions", "not-whole"),
        ({"left": "Left"}, "left", "unknown-field"),
        ({"shoe_size": 43}, "shoe_size", "unknown-field"),
        ({"level": ["Entry"]}, "level", "not-text"),
    ],
)
def test_a_field_that_breaks_its_rule_is_named_and_its_value_is_not_echoed(
    site: Site, changes: dict[str, Any], field: str, code: str
) -> None:
    answer = site.predict(**changes)

    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["field"], error["code"]) == (422, field, code)
    assert answer.headers["content-type"] == "application/problem+json"
    for value in ("a lot", "Boss", "43"):
        assert value not in answer.text
    assert not site.log.since(0)


def test_all_fields_that_are_wrong_are_named_at_once(site: Site) -> None:
    answer = site.ask("POST", "/predict", json={})

    assert [error["field"] for error in answer.json()["errors"]] == ["level", "promotions", "pay"]


def test_what_the_model_does_not_read_is_ignored_and_said_so(site: Site) -> None:
    answer = site.predict(age="whatever it is")

    assert answer.json()["ignored"] == ["age"]


def test_a_missing_value_is_scored_where_the_contract_allows_it(site: Site) -> None:
    assert site.predict(remote=None).status_code == 200


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "malformed-json"),
        (b"{", 400, "malformed-json"),
        (b'{"pay": NaN}', 422, "invalid-employee"),
        (b'{"pay": "\xff"}', 400, "malformed-json"),
        (b"[" * 100_000, 413, "payload-too-large"),
        (b"[" * 20_000, 400, "malformed-json"),
        (b"[]", 422, "not-an-object"),
        (b"17", 422, "not-an-object"),
        (b" " * (ONE_BYTES + 1), 413, "payload-too-large"),
    ],
)
def test_a_body_that_is_no_employee_is_refused(site: Site, content: bytes, status: int, code: str) -> None:
    answer = site.ask("POST", "/predict", content=content, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:attrition:problem:{code}")


@pytest.mark.parametrize(
    "body",
    [
        rb'{"person": "\ud800", "level": "Entry", "remote": "No", "promotions": 1, "pay": 1}',
        rb'{"person": "\u0000", "level": "Entry", "remote": "No", "promotions": 1, "pay": 1}',
        b'{"person": 1e400, "level": "Entry", "remote": "No", "promotions": 1, "pay": 1}',
        b'{"person": 123456789012345678901234567890, "level": "Entry", "promotions": 1, "pay": 1}',
        b'{"pay": 1e308, "level": "Entry", "promotions": 1}',
        b'{"promotions": 99999999999999999999999999, "level": "Entry", "pay": 1}',
        b'{"promotions": -0.0, "level": "Entry", "pay": -0.0}',
        rb'{"\ud800": 1}',
        b'{"": 1}',
    ],
)
def test_strange_values_are_answered_or_refused_and_never_a_fault(site: Site, body: bytes) -> None:
    answer = site.ask("POST", "/predict", content=body, headers={"content-type": "application/json"})

    assert answer.status_code in (200, 400, 422)


def test_a_form_post_is_told_which_header_to_send(site: Site) -> None:
    answer = site.ask("POST", "/predict", data={"pay": "1"})

    assert answer.status_code == 415
    assert "Content-Type: application/json" in answer.json()["detail"]


def test_a_batch_is_answered_in_order_with_a_problem_where_one_is_wrong(site: Site) -> None:
    rows = [EMPLOYEE, {**EMPLOYEE, "pay": "x"}, {**EMPLOYEE, "level": "Senior"}]

    told = site.ask("POST", "/predict/batch", json={"employees": rows}).json()

    assert (told["n_scored"], told["n_refused"]) == (2, 1)
    assert [one["prediction"] is None for one in told["results"]] == [False, True, False]
    assert told["results"][1]["problem"]["errors"][0]["field"] == "pay"
    assert len(site.log.since(0)) == 2


def test_a_table_with_the_headers_of_the_extract_is_scored_like_json(site: Site) -> None:
    table = "Person,Level,Remote,Promotions,Pay,Left\n17,Entry,No,1,2500,Stayed\n18,Senior,,3,abc,Left\n"

    told = site.ask(
        "POST", "/predict/batch", content=table.encode(), headers={"content-type": "text/csv"}
    ).json()

    assert told["results"][0]["prediction"]["probability"] == site.predict().json()["probability"]
    assert told["results"][1]["problem"]["errors"][0]["code"] == "not-a-number"


@pytest.mark.parametrize(
    "table", ["", "Pay,Pay\n1,2\n", "Pay,Level\n1\n", 'Pay\n"1', "Pay\n", "Pay\n1\n" * 2 + "\x00" * 3]
)
def test_a_table_that_is_none_is_refused_whole(site: Site, table: str) -> None:
    answer = site.ask("POST", "/predict/batch", content=table.encode(), headers={"content-type": "text/csv"})

    assert answer.status_code in (200, 422)
    assert not site.log.since(0)


@pytest.mark.parametrize(
    "document", [{}, {"employees": []}, {"employees": [1]}, {"employees": {}}, {"employees": [{}], "x": 1}]
)
def test_a_batch_that_is_none_is_refused(site: Site, document: Any) -> None:
    assert site.ask("POST", "/predict/batch", json=document).status_code == 422


def test_a_prediction_that_cannot_be_logged_is_not_answered(site: Site) -> None:
    def refuse(records: Any) -> None:
        raise PredictionLogError("The disk is full.")

    site.log.append = refuse  # type: ignore[method-assign]

    answer = site.predict()

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "probability" not in answer.text


def test_a_promotion_reaches_the_service_and_a_rollback_does_too(site: Site) -> None:
    before = site.predict().json()
    record(site.platform, V2, seed=2)
    assert site.host.refresh()
    promoted = site.predict().json()
    record(site.platform, V1, "rollback", **{"from": V2})
    site.host.refresh()

    after = site.predict().json()

    assert (before["model_version"], promoted["model_version"], after["model_version"]) == (V1, V2, V1)
    assert before["score"] == after["score"] != promoted["score"]
    assert not site.host.refresh(), "nothing happened since"


def test_where_the_champion_can_not_be_loaded_the_one_before_serves_and_an_alert_goes_out(site: Site) -> None:
    broken = record(site.platform, V2, seed=2)
    place = site.platform.file(broken.payload["files"]["compiled.json"])
    place.chmod(0o600)
    place.write_bytes(b"{}")

    site.host.refresh()
    site.host.refresh()

    assert site.predict().json()["model_version"] == V1
    ((kind, text),) = site.alerts
    assert kind == "fallback"
    assert V2 in text
    assert V2 in site.ask("GET", "/champion").json()["problem"]


def test_where_no_model_can_be_loaded_the_service_is_not_ready_and_says_when_to_ask_again(
    tmp_path: Path,
) -> None:
    site = Site(make_platform(tmp_path))

    for method, path, given in (
        ("POST", "/predict", {"json": EMPLOYEE}),
        ("POST", "/predict/batch", {"json": {"employees": [EMPLOYEE]}}),
        ("GET", "/v2/health/ready", {}),
        ("GET", "/form", {}),
    ):
        answer = site.ask(method, path, **given)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert site.ask("GET", "/v2/health/live").status_code == 200
    assert site.ask("GET", "/champion").status_code == 404


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), KeyError("x"), ImportError("y")])
def test_whatever_keeps_the_champion_from_loading_the_one_before_serves(
    site: Site, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """A disk that fails or a library that changed used to be told as a ledger that can't be read."""
    record(site.platform, V2, seed=2)
    load = host.load_arm

    def load_all_but_one(platform: Platform, one: LedgerRecord) -> Any:
        if one.version == V2:
            raise fault
        return load(platform, one)

    monkeypatch.setattr(host, "load_arm", load_all_but_one)
    fresh = Site(site.platform)

    assert fresh.predict().json()["model_version"] == V1
    assert [kind for kind, _ in fresh.alerts] == ["fallback"]
    assert type(fault).__name__ in fresh.alerts[0][1]
    fresh.service.close()


def test_a_canary_that_can_not_be_loaded_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used to be tried once and forgotten: a canary that gets no traffic is never decided."""
    load, now = host.load_arm, [0.0]
    broken = {V2}

    def load_if_whole(platform: Platform, one: LedgerRecord) -> Any:
        if one.version in broken:
            raise OSError
        return load(platform, one)

    monkeypatch.setattr(host, "load_arm", load_if_whole)
    monkeypatch.setattr(host.time, "monotonic", lambda: now[0])
    site = canary_site(tmp_path, EVERYBODY, "canary")
    for _ in range(3):
        now[0] += RETRY_SECONDS + 1
        site.host.refresh()

    assert [kind for kind, _ in site.alerts] == ["canary"]
    assert site.predict().json()["variant"] == "stable"
    assert site.ask("GET", "/champion").json()["problem"] is None
    broken.clear()
    now[0] += RETRY_SECONDS + 1
    assert site.host.refresh()
    assert site.predict().json()["variant"] == "canary"
    site.service.close()


def test_an_alert_that_fails_or_hangs_holds_up_no_swap(site: Site) -> None:
    hanging = threading.Event()

    def alert(*_: Any) -> None:
        hanging.wait(10)
        raise OSError("the disk is full")

    model_host = ModelHost(site.platform, alert)
    model_host.refresh()
    broken = record(site.platform, V2, seed=2)
    site.platform.file(broken.payload["files"]["compiled.json"]).unlink()
    started = time.monotonic()
    model_host.refresh()

    assert time.monotonic() - started < 5
    assert "can't be loaded" in str(model_host.problem)
    hanging.set()


def test_an_alert_that_raises_at_once_does_not_end_the_following_of_the_ledger(site: Site) -> None:
    def alert(*_: Any) -> None:
        raise OSError("the disk is full")

    model_host = ModelHost(site.platform, alert, aside=lambda send: send())
    broken = record(site.platform, V2, seed=2)
    site.platform.file(broken.payload["files"]["compiled.json"]).unlink()
    model_host.refresh()

    assert model_host.predictor is not None
    assert model_host.predictor.stable.version == V1


def test_what_serves_is_not_forgotten_while_others_come_and_go(site: Site) -> None:
    for n in range(2, 2 + MAX_ARMS):
        record(site.platform, f"{n:016x}", "canary", seed=2, incumbent=V1, mode="shadow", share=0.0)
        site.host.refresh()
    stored = site.platform.ledger.champion()
    site.platform.file(stored.payload["files"]["compiled.json"]).unlink()  # type: ignore[union-attr]
    record(site.platform, "f" * 16, "canary", seed=2, incumbent=V1, mode="shadow", share=0.0)
    site.host.refresh()

    assert not site.alerts
    assert site.predict().json()["model_version"] == V1


def test_why_no_model_serves_is_not_told_to_strangers(tmp_path: Path) -> None:
    site = Site(make_platform(tmp_path))
    site.host.problem = "Champion abc can't be loaded: file /srv/models/x is missing."

    assert "/srv" not in site.ask("GET", "/v2/health/ready").text
    assert "/srv" in site.predict().text
    site.service.close()


def test_a_log_that_can_not_be_read_is_no_fault_of_the_service(site: Site) -> None:
    def away(_: str) -> None:
        raise PredictionLogError("The prediction log can't be read.")

    site.log.get = away  # type: ignore[method-assign, assignment]

    assert site.ask("GET", f"/predictions/{'0' * 32}").status_code == 503
    for strange in ("%00", "none", "0" * 31, "A" * 32):
        assert site.ask("GET", f"/predictions/{strange}").status_code == 404


def test_when_the_application_ends_the_log_is_closed(site: Site) -> None:
    async def live_and_die() -> None:
        gate: Any = build_app(site.platform, site.service, site.keys, loopback=True)
        async with gate.api.router.lifespan_context(gate.api):
            pass

    asyncio.run(live_and_die())

    with pytest.raises(PredictionLogError, match="closed"):
        site.log.append([None])  # type: ignore[list-item]


def test_a_ledger_that_was_changed_by_hand_moves_nothing(site: Site, tmp_path: Path) -> None:
    import sqlite3

    record(site.platform, V2, seed=2)
    with sqlite3.connect(tmp_path / "data" / "ledger" / "tiny.sqlite") as database:
        database.execute("DROP TRIGGER attrition_ledger_no_UPDATE")
        database.execute("UPDATE attrition_ledger SET version = ? WHERE seq = 2", ("3" * 16,))

    assert not site.host.refresh()

    assert site.predict().json()["model_version"] == V1
    assert site.alerts[0][0] == "ledger"


def canary_site(tmp_path: Path, share: float, mode: str, **policy: Any) -> Site:
    platform = make_platform(tmp_path)
    record(platform, V1)
    record(platform, V2, "canary", seed=2, incumbent=V1, mode=mode, share=share)
    return Site(platform)


def test_a_canary_answers_for_its_share_and_always_for_the_same_people(tmp_path: Path) -> None:
    site = canary_site(tmp_path, 0.3, "canary")
    requests = [("POST", "/predict", {"json": {**EMPLOYEE, "person": n}}) for n in range(200)]

    first = [answer.json()["variant"] for answer in site.ask_all(requests)]
    again = [answer.json()["variant"] for answer in Site(site.platform).ask_all(requests)]

    assert first == again
    assert 40 <= first.count("canary") <= 80
    canaries = [one for one in site.log.since(0) if one.variant == "canary"]
    assert {(one.version, one.other_version) for one in canaries} == {(V2, V1)}
    assert all(one.other_probability is not None for one in canaries)


def test_a_shadow_scores_along_and_stable_answers_everyone(tmp_path: Path) -> None:
    site = canary_site(tmp_path, 0.0, "shadow")

    answers = [site.predict(person=n).json() for n in range(20)]

    assert {(one["variant"], one["model_version"]) for one in answers} == {("stable", V1)}
    assert all(one.other_version == V2 and one.shadow_latency_us is not None for one in site.log.since(0))
    assert all(one.other_probability != one.probability for one in site.log.since(0))


@pytest.mark.parametrize(("share", "mode"), [(EVERYBODY, "canary"), (0.0, "shadow")])
def test_where_the_canary_raises_stable_answers_and_the_log_says_so(
    tmp_path: Path, share: float, mode: str
) -> None:
    site = canary_site(tmp_path, share, mode)
    canary = site.host.predictor.canary  # type: ignore[union-attr]

    def raises(x: Any) -> Any:
        raise RuntimeError("broken")

    canary.compiled.explain_one = raises  # type: ignore[union-attr, method-assign]

    answers = [site.predict(person=n) for n in range(10)]

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["model_version"] for answer in answers} == {V1}
    assert {answer.json()["variant"] for answer in answers} == {"stable"}
    assert all(one.failed and one.other_version == V2 for one in site.log.since(0))


@pytest.mark.parametrize(
    ("share", "mode", "slow"), [(EVERYBODY, "canary", "stable"), (0.0, "shadow", "canary")]
)
def test_the_arm_that_scores_along_is_not_in_the_latency(
    tmp_path: Path, share: float, mode: str, slow: str
) -> None:
    site = canary_site(tmp_path, share, mode)
    compiled = getattr(site.host.predictor, slow).compiled
    whole = compiled.explain_one

    def lingers(x: Any) -> Any:
        time.sleep(0.05)
        return whole(x)

    compiled.explain_one = lingers

    site.predict()

    (logged,) = site.log.since(0)
    assert logged.latency_us < 25_000
    assert logged.other_probability is not None
    assert (logged.shadow_latency_us or 0) >= (50_000 if mode == "shadow" else 0)


@pytest.mark.parametrize(("share", "mode"), [(EVERYBODY, "canary"), (0.0, "shadow")])
def test_a_canary_that_asks_for_what_was_not_sent_has_not_failed(
    tmp_path: Path, share: float, mode: str
) -> None:
    site = canary_site(tmp_path, share, mode)
    predictor = site.host.predictor
    assert predictor is not None
    assert predictor.canary is not None
    spec = predictor.canary.spec
    more = dataclasses.replace(spec, source_columns=("age", *spec.source_columns))
    predictor.canary = dataclasses.replace(predictor.canary, spec=more)

    without, with_age = site.predict(), site.predict(age=40)

    assert (without.status_code, with_age.status_code) == (200, 200)
    first, second = site.log.since(0)
    assert (first.failed, first.other_version, first.version) == (False, None, V1)
    assert second.other_version is not None
    assert "age" in [field["name"] for field in site.ask("GET", "/form").json()["fields"]]


def test_a_canary_can_be_aborted_by_an_operator_only(tmp_path: Path) -> None:
    site = canary_site(tmp_path, 0.3, "canary")
    assert site.ask("POST", "/canary/abort", json={"reason": "odd"}).status_code == 403
    key = site.keys.add("ann", ["operate"], "2026-01-01T00:00:00.000+00:00")
    headers = {"authorization": f"Bearer {key}"}

    assert site.ask("POST", "/canary/abort", json={}, headers=headers).status_code == 422
    ended = site.ask("POST", "/canary/abort", json={"reason": "odd"}, headers=headers)
    again = site.ask("POST", "/canary/abort", json={"reason": "odd"}, headers=headers)

    assert ended.json()["ended"] == V2
    assert again.status_code == 409
    said = site.platform.ledger.last("canary-end").payload  # type: ignore[union-attr]
    assert (said["by"], said["reason"]) == ("ann", "odd")
    assert said["evidence"]["n_canary"] == 0, "the record has its evidence, as after `attrition canary abort`"
    told = (site.platform.settings.data_dir / "notifications.jsonl").read_text()
    assert "ann: odd" in told


def test_as_soon_as_a_key_exists_everyone_needs_one_with_the_role(site: Site) -> None:
    key = site.keys.add("hr", ["predict"], "2026-01-01T00:00:00.000+00:00")

    assert site.predict().status_code == 401
    with_key = site.ask("POST", "/predict", json=EMPLOYEE, headers={"x-api-key": key})
    assert with_key.status_code == 200
    assert site.log.since(0)[-1].client == "hr"
    assert site.ask("GET", "/predictions/x", headers={"x-api-key": key}).status_code == 403
    assert site.ask("GET", "/metrics").status_code == 401
    assert site.ask("GET", "/v2/health/ready").status_code == 200


def test_a_page_of_another_site_and_another_host_name_get_nothing(site: Site) -> None:
    foreign = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    rebound = site.ask_all([("GET", "/champion", {})], base="http://evil.example")[0]

    assert site.ask("POST", "/predict", json=EMPLOYEE, headers=foreign).status_code == 403
    assert rebound.status_code == 421


def test_off_loopback_nobody_is_trusted_without_a_key(site: Site) -> None:
    (answer,) = site.ask_all([("POST", "/predict", {"json": EMPLOYEE})], loopback=False)

    assert answer.status_code == 401


def test_too_many_predictions_are_told_when_to_ask_again(tmp_path: Path) -> None:
    platform = make_platform(tmp_path, ATTRITION_RATE_LIMIT="3")
    record(platform, V1)
    site = Site(platform)

    answers = site.ask_all([("POST", "/predict", {"json": EMPLOYEE})] * 5)

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_a_logged_prediction_can_be_looked_up_without_the_persons_data(site: Site) -> None:
    told = site.predict().json()

    found = site.ask("GET", f"/predictions/{told['id']}").json()

    assert found["probability"] == told["probability"]
    assert not {"pseudonym", "inputs", "inputs_hash"} & set(found)
    assert site.ask("GET", "/predictions/none").status_code == 404


def test_metrics_count_what_happened_and_name_the_model(site: Site) -> None:
    site.ask_all([("POST", "/predict", {"json": EMPLOYEE}), ("POST", "/predict", {"json": {}})])

    text = site.ask("GET", "/metrics").text

    assert 'attrition_predictions_total{variant="stable"} 1.0' in text
    assert 'attrition_http_responses_total{status="4xx"} 1.0' in text
    assert f'attrition_model_info{{arm="stable",version="{V1}"}} 1.0' in text


def tensors(n: int = 2, **changes: Any) -> dict[str, Any]:
    data = {
        "person": ("BYTES", [str(i) for i in range(n)]),
        "level": ("BYTES", ["Entry"] * n),
        "remote": ("BYTES", ["No"] * n),
        "promotions": ("INT64", [1] * n),
        "pay": ("FP64", [2500.0] * n),
    } | changes
    inputs = [
        {"name": name, "datatype": kind, "shape": [len(values)], "data": values}
        for name, (kind, values) in data.items()
    ]
    return {"id": "r1", "inputs": inputs}


def test_the_inference_protocol_gives_the_same_scores(site: Site) -> None:
    told = site.ask("POST", "/v2/models/attrition-tiny/infer", json=tensors()).json()

    outputs = {output["name"]: output for output in told["outputs"]}
    assert told["id"] == "r1"
    assert told["model_version"] == V1
    assert outputs["probability"]["data"] == [site.predict().json()["probability"]] * 2
    assert outputs["probability"]["shape"] == [2]
    assert len(site.log.since(0)) == 3


@pytest.mark.parametrize(
    "request_body",
    [
        {},
        {"inputs": []},
        {"inputs": [1]},
        {"inputs": [{"name": "pay", "datatype": "FP64", "shape": [2], "data": [1.0]}]},
        {"inputs": [{"name": "pay", "datatype": "FP16", "shape": [1], "data": [1.0]}]},
        {"inputs": [{"name": "pay", "datatype": "INT64", "shape": [1], "data": [True]}]},
        {"inputs": [{"name": "pay", "datatype": "FP64", "shape": [True], "data": [1.0]}]},
        tensors(pay=("FP64", [1.0, -1.0])),
        {**tensors(), "id": 7},
    ],
)
def test_tensors_that_break_the_protocol_are_refused_whole(site: Site, request_body: Any) -> None:
    answer = site.ask("POST", "/v2/models/attrition-tiny/infer", json=request_body)

    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}
    assert not site.log.since(0)


def test_a_column_tensor_of_two_dimensions_is_taken_too(site: Site) -> None:
    body = tensors(1)
    for tensor in body["inputs"]:
        tensor["shape"], tensor["data"] = [1, 1], [tensor["data"]]

    assert site.ask("POST", "/v2/models/attrition-tiny/infer", json=body).status_code == 200


def test_the_protocol_describes_server_and_model(site: Site) -> None:
    model = site.ask("GET", "/v2/models/attrition-tiny").json()

    assert [tensor["name"] for tensor in model["inputs"]] == [
        "person",
        "level",
        "remote",
        "promotions",
        "pay",
    ]
    assert site.ask("GET", "/v2/models/attrition-tiny/ready").status_code == 200
    assert site.ask("GET", "/v2/models/other").status_code == 404
    assert site.ask("GET", "/v2").json()["name"] == "attrition_platform"


def test_unknown_paths_and_methods_are_problem_documents_too(site: Site) -> None:
    lost, wrong = site.ask_all([("GET", "/nowhere", {}), ("DELETE", "/champion", {})])

    assert (lost.status_code, wrong.status_code) == (404, 405)
    for answer in (lost, wrong):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_fault_of_ours_shows_no_trace_and_no_value(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("pay of Zoë is 2500")

    site.host.predictor.predict = broken  # type: ignore[union-attr, method-assign]

    answer = site.predict()

    assert answer.status_code == 500
    assert "Zoë" not in answer.text + caplog.text
    assert "KeyError" in caplog.text


def test_the_description_names_the_fields_of_the_serving_model(site: Site) -> None:
    document = site.ask("GET", "/openapi.json").json()

    employee = document["components"]["schemas"]["Employee"]
    assert employee["required"] == ["level", "promotions", "pay"]
    assert set(document["paths"]) >= {"/predict", "/predict/batch", "/champion", "/v2/models/{name}"}


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[Callable[[], Awaitable[httpx.Response]]]:
    app = build_app(site.platform, site.service, site.keys, loopback=True)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=("127.0.0.1", 1)), base_url=HOST
    ) as client:
        yield lambda: client.post("/predict", json=dict(EMPLOYEE))


def test_many_at_once_share_transactions_and_all_are_logged(site: Site) -> None:
    async def run() -> list[httpx.Response]:
        async with running(site) as ask:
            return list(await asyncio.gather(*(ask() for _ in range(200))))

    answers = asyncio.run(run())

    assert {answer.status_code for answer in answers} == {200}
    assert {one.id for one in site.log.since(0)} == {answer.json()["id"] for answer in answers}
