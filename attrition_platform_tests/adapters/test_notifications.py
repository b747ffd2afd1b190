"""Notifications reach the file and a real server on loopback; a channel that fails stops nothing."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters import notification_channels, notification_outbox
from attrition_platform.adapters.notification_channels import ChannelName, Mail, Problem, Webhook
from attrition_platform.adapters.notification_journal import Journal
from attrition_platform.adapters.notifications import Notification, Notifier, Status, build_notifier
from attrition_platform.modeling.policy import load_policy
from attrition_platform.modeling.watch_rules import NotificationRule, QuietWindow
from attrition_platform.settings import Settings
from attrition_platform_tests.adapters.notification_servers import mailing, serving, talking

NOON = "2026-03-01T12:00:00.000+00:00"
NIGHT = QuietWindow(begin="22:00", end="07:00")


def make_notification(**changes: Any) -> Notification:
    fields: dict[str, Any] = {
        "kind": "canary-rolled-back",
        "key": "c1/7",
        "title": "Canary c1 was rolled back",
        "cause": "It fails more often than stable",
        "version_before": "c1",
        "version_after": "s1",
        "evidence": {"n_canary": 300, "canary_error_rate": 0.06},
        "run_url": None,
        "at": NOON,
    }
    return Notification(**(fields | changes))


def as_told(notification: Notification) -> dict[str, Any]:
    """As it stands in the file when it went out at once."""
    return notification.as_json() | {"owner": "people-analytics", "fate": "told"}


def hooked(file: Path, url: str, **rule: Any) -> Notifier:
    return Notifier(file, [Webhook(url)], NotificationRule(**rule))


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "notifications.jsonl"


def test_without_a_hook_it_is_one_line_of_the_file(file: Path) -> None:
    delivery = Notifier(file).send(make_notification())

    assert (delivery.repeated, delivery.failed) == (False, {})
    assert lines(file) == [as_told(make_notification())]
    assert lines(file)[0]["version_after"] == "s1"


def test_a_hook_gets_the_same_as_json_with_a_sentence(file: Path) -> None:
    with serving() as hook:
        assert hooked(file, hook.url).send(make_notification()).failed == {}

    sent = as_told(make_notification())
    (body,) = hook.bodies
    assert body.pop("text") == "Canary c1 was rolled back. It fails more often than stable"
    assert body | {"fate": "told"} == sent | {"count": 1}
    assert hook.types == ["application/json; charset=utf-8"]
    assert lines(file) == [sent]


def test_a_hook_that_fails_once_is_asked_again(file: Path) -> None:
    with serving(503, 200) as hook:
        assert hooked(file, hook.url).send(make_notification()).failed == {}

    assert len(hook.bodies) == 2
    assert len(lines(file)) == 1


def test_a_hook_that_fails_twice_is_told_and_stands_in_the_file(file: Path) -> None:
    with serving(500, 502, 200) as hook:
        delivery = hooked(file, hook.url).send(make_notification())

    assert delivery.failed == {"webhook": "it answered HTTP 502"}
    assert len(hook.bodies) == 2
    kept, failure = lines(file)
    assert kept["kind"] == "canary-rolled-back"
    assert failure["kind"] == "notification-failed"
    assert failure["key"] == "canary-rolled-back/c1/7"
    assert "secret" not in file.read_text()


def test_a_dead_port_stops_nothing(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    delivery = hooked(file, f"http://127.0.0.1:{port}/").send(make_notification())

    assert delivery.failed == {"webhook": "it can't be reached (ConnectionRefusedError)"}
    assert [line["kind"] for line in lines(file)] == ["canary-rolled-back", "notification-failed"]


def _says_nothing(connection: socket.socket) -> None:
    connection.recv(65536)
    time.sleep(5)


def _drips(connection: socket.socket) -> None:
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"." * 500:
        connection.send(bytes([byte]))
        time.sleep(0.02)


def _babbles(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.send(b"what?\r\n\r\n")


@pytest.mark.parametrize("talk", [_says_nothing, _drips])
def test_a_hook_that_hangs_costs_one_time_limit_and_no_more(
    file: Path, monkeypatch: pytest.MonkeyPatch, talk: Callable[[socket.socket], None]
) -> None:
    """Bytes that drip in would start a socket's own time limit anew each time."""
    monkeypatch.setattr(notification_channels, "POST_SECONDS", 0.2)
    with talking(talk) as url:
        started = time.monotonic()
        delivery = hooked(file, url).send(make_notification())
        spent = time.monotonic() - started

    assert delivery.failed == {"webhook": "no answer within 0.2 s"}
    assert spent < 0.5


def test_whoever_sends_waits_longer_than_a_web_hook_may_take_and_less_than_a_tick_may() -> None:
    assert notification_channels.POST_SECONDS == 10.0
    assert notification_channels.POST_SECONDS < notification_outbox.WAIT_SECONDS < 15.0
    assert notification_channels.MAIL_SECONDS == 30.0
    assert notification_channels.MAIL_SECONDS < notification_outbox.PERSON_SECONDS
    assert notification_outbox.LEASE.total_seconds() > notification_outbox.PERSON_SECONDS


def test_an_answer_that_is_no_http_is_a_failure(file: Path) -> None:
    with talking(_babbles) as url:
        assert "BadStatusLine" in hooked(file, url).send(make_notification()).failed["webhook"]


def test_a_redirect_is_not_followed(file: Path) -> None:
    """The numbers go to the address that was set, not to whoever it names."""
    with serving() as elsewhere, serving(302, 302, location=elsewhere.url) as hook:
        delivery = hooked(file, hook.url).send(make_notification())

    assert delivery.failed == {"webhook": "it answered HTTP 302"}
    assert elsewhere.bodies == []


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://127.0.0.1/", "hooks", "http://", "http://[::"]
)
def test_an_address_that_is_none_is_a_failure(file: Path, url: str) -> None:
    delivery = hooked(file, url).send(make_notification())

    assert set(delivery.failed) == {"webhook"}
    assert url not in delivery.failed["webhook"]


def test_a_file_that_can_not_be_written_still_reaches_the_hook(tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    with serving() as hook:
        delivery = hooked(blocked / "notifications.jsonl", hook.url).send(make_notification())
    assert set(delivery.failed) == {"file"}
    assert len(hook.bodies) == 1

    both = hooked(blocked / "notifications.jsonl", "nowhere").send(make_notification())
    assert set(both.failed) == {"file", "webhook"}


@pytest.mark.parametrize(
    ("changes", "repeated"),
    [
        ({}, True),
        ({"at": "2026-03-01T12:59:59.000+00:00", "title": "other words"}, True),
        ({"at": "2026-03-01T13:59:59.000+01:00"}, True),
        ({"at": "2026-03-01T13:00:01.000+00:00"}, False),
        ({"key": "c2/9", "cause": "another"}, False),
        ({"kind": "canary-ramped"}, False),
    ],
)
def test_the_same_is_told_once_an_hour(file: Path, changes: dict[str, Any], repeated: bool) -> None:
    with serving() as hook:
        hooked(file, hook.url).send(make_notification())
        delivery = hooked(file, hook.url).send(make_notification(**changes))

    assert delivery.repeated is repeated
    assert len(lines(file)) == len(hook.bodies) == (1 if repeated else 2)


def test_many_at_once_are_told_once(file: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: Notifier(file).send(make_notification()), range(16)))

    assert sum(not delivery.repeated for delivery in told) == 1
    assert len(lines(file)) == 1


def test_a_line_that_was_cut_off_spoils_no_other(file: Path) -> None:
    Notifier(file).send(make_notification())
    with file.open("ab") as torn:
        torn.write(b'{"kind": "canary-ra\xff')
    assert Notifier(file).send(make_notification()).repeated
    Notifier(file).send(make_notification(key="c2/9"))

    whole = [line for line in file.read_bytes().splitlines() if not line.endswith(b"\xff")]
    assert [json.loads(line)["key"] for line in whole] == ["c1/7", "c2/9"]


def test_numbers_that_json_does_not_know_are_written_all_the_same(file: Path) -> None:
    evidence = {"ratio": math.inf, "rates": (0.1, math.nan), "what": Path("x"), 3: None}
    with serving() as hook:
        notifier = hooked(file, hook.url)
        # A lone surrogate is what a command line's broken bytes become.
        assert notifier.send(make_notification(evidence=evidence, cause="why \udcff")).failed == {}

    expected = {"ratio": None, "rates": [0.1, None], "what": "<PosixPath>", "3": None}
    assert lines(file)[0]["evidence"] == expected


# --- the outbox


def keys(bodies: list[dict[str, Any]]) -> list[str]:
    return [body["key"] for body in bodies]


def test_what_a_hook_did_not_take_goes_with_the_next_in_order(file: Path) -> None:
    with serving(500, 500) as hook:
        notifier = hooked(file, hook.url)
        assert notifier.send(make_notification(key="a", cause="a")).failed == {
            "webhook": "it answered HTTP 500"
        }
        assert notifier.status().undelivered == {"webhook": 1}
        hook.bodies.clear()
        assert hooked(file, hook.url).send(make_notification(key="b", cause="b")).failed == {}

    assert keys(hook.bodies) == ["a", "b"]
    assert notifier.status() == Status(0)


def test_flush_offers_it_again_and_once(file: Path) -> None:
    with serving(500, 500) as hook:
        hooked(file, hook.url).send(make_notification())
        hook.bodies.clear()
        assert hooked(file, hook.url).flush() == {}
        assert hooked(file, hook.url).flush() == {}

    assert keys(hook.bodies) == ["c1/7"]


def test_who_flushes_every_few_seconds_leaves_a_dead_channel_alone_for_a_minute(file: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    with serving(500, 500, 500, 500) as hook:
        notifier = Notifier(file, [Webhook(hook.url)], clock=lambda: now)
        notifier.send(make_notification())
        notifier.flush(patient=True)
        assert len(hook.bodies) == 2
        now += timedelta(seconds=61)
        assert notifier.flush(patient=True) == {"webhook": "it answered HTTP 500"}

    assert len(hook.bodies) == 4


def test_a_dead_hook_costs_one_try_however_much_waits(file: Path) -> None:
    with serving(*[500] * 40) as hook:
        for n in range(5):
            delivery = hooked(file, hook.url).send(make_notification(key=str(n), cause=str(n)))
            assert delivery.failed == {"webhook": "it answered HTTP 500"}
        assert len(hook.bodies) == 10
        assert hooked(file, hook.url).status().undelivered == {"webhook": 5}


def test_the_channels_fail_apart(file: Path) -> None:
    with serving(500, 500) as hook, mailing() as server:
        settings = Settings.from_environment(
            {
                "ATTRITION_DATA": str(file.parent),
                "ATTRITION_WEBHOOK_URL": hook.url,
                "ATTRITION_SMTP_URL": f"smtp://localhost:{server.port}",
                "ATTRITION_MAIL_FROM": "a@example.org",
                "ATTRITION_MAIL_TO": "b@example.org",
            }
        )
        notifier = build_notifier(settings, load_policy("responsible"))
        assert notifier.channels == ("file", "webhook", "mail")
        assert notifier.send(make_notification()).failed == {"webhook": "it answered HTTP 500"}
        assert notifier.flush() == {}

    assert (len(hook.bodies), len(server.mails)) == (3, 1)


def test_a_message_that_is_refused_holds_up_no_other_and_is_given_up(file: Path) -> None:
    with serving(400) as hook:
        notifier = hooked(file, hook.url)
        assert notifier.send(make_notification(key="bad", cause="bad")).failed == {
            "webhook": "it answered HTTP 400"
        }
        hook.answers.append(400)
        assert notifier.send(make_notification(key="good", cause="good")).failed == {}
        for _ in range(notification_outbox.MAX_REFUSALS):
            hook.answers.append(400)
            notifier.flush()
            hook.answers.clear()

    assert keys(hook.bodies).count("good") == 1
    assert keys(hook.bodies).count("bad") == notification_outbox.MAX_REFUSALS
    assert notifier.status().undelivered == {}
    notes = [line for line in lines(file) if line["kind"] == "notification-failed"]
    assert [note["cause"] for note in notes] == [
        "it answered HTTP 400",
        "it answered HTTP 400; it is not tried again",
    ]


def test_the_outbox_does_not_grow_for_ever_and_drops_no_page(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification_outbox, "MAX_OUTBOX", 3)
    notifier = hooked(file, "nowhere")
    notifier.send(make_notification(key="page", cause="page", severity="page"))
    for n in range(4):
        notifier.send(make_notification(key=str(n), cause=str(n)))

    state = Journal(file).load()
    assert state is not None
    assert keys([letter.document for letter in state.outbox]) == ["page", "2", "3"]
    assert sum("too many waited" in line["cause"] for line in lines(file)) == 2


def test_after_a_week_it_is_no_news(file: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    with serving(500, 500) as hook:
        notifier = Notifier(file, [Webhook(hook.url)], clock=lambda: now)
        notifier.send(make_notification())
        hook.bodies.clear()
        now += notification_outbox.KEEP
        notifier.send(make_notification(key="new", cause="new"))

    assert keys(hook.bodies) == ["new"]


@dataclass
class Told:
    """A channel that answers with the next of `problems`, and may take its time."""

    problems: list[Problem | None]
    name: ChannelName = "webhook"
    then: Callable[[], object] = lambda: None
    keys: list[str] = field(default_factory=list)

    def take(self, document: Mapping[str, Any]) -> Problem | None:
        self.keys.append(document["key"])
        self.then()
        return self.problems.pop(0) if self.problems else None


def test_who_got_a_mail_does_not_get_it_again_because_another_did_not(file: Path) -> None:
    channel = Told([Problem("it refuses 1 of 2 recipients", "partial")])
    delivery = Notifier(file, [channel]).send(make_notification())
    Notifier(file, [channel]).flush()

    assert delivery.failed == {"webhook": "it refuses 1 of 2 recipients"}
    assert len(channel.keys) == 1
    assert "not tried again" in lines(file)[-1]["cause"]


def test_one_call_ends_however_much_waits_and_the_next_goes_on(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification_outbox, "WAIT_SECONDS", 0.1)
    now = datetime(2026, 3, 1, tzinfo=UTC)
    channel = Told([], then=lambda: time.sleep(0.06))
    notifier = Notifier(file, [channel], clock=lambda: now)

    notifier.send_all([make_notification(key=str(n), cause=str(n)) for n in range(4)])
    time.sleep(0.1)
    assert channel.keys == ["0", "1"]
    now += notification_outbox.REST
    notifier.flush(patient=True)
    time.sleep(0.1)
    assert channel.keys == ["0", "1", "2", "3"]
    assert notifier.status() == Status(0)


# --- channels that are slow


def test_many_messages_on_channels_that_hang_cost_one_wait(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification_outbox, "WAIT_SECONDS", 0.3)
    with talking(_says_nothing) as url, talking(_says_nothing, "smtp") as mail_url:
        mail = Mail(mail_url.rstrip("/"), "a@example.org", ("b@example.org",))
        notifier = Notifier(file, [Webhook(url), mail])
        started = time.monotonic()
        told = notifier.send_all([make_notification(key=str(n), cause=str(n)) for n in range(5)])
        spent = time.monotonic() - started

    assert spent < 0.6
    assert [delivery.failed for delivery in told] == [
        dict.fromkeys(("webhook", "mail"), "it has not answered yet")
    ] * 5
    assert [line["key"] for line in lines(file) if line["kind"] != "notification-failed"] == list("01234")
    assert notifier.status().undelivered == {"webhook": 5, "mail": 5}
    assert set(notifier.status().failing) == {"webhook", "mail"}


def test_of_many_who_send_only_the_first_waits_for_a_channel_that_hangs_unless_it_is_a_page(
    file: Path,
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    channel = Told([Problem("no answer within 10 s", "unanswered", is_slow=True)] * 9)
    notifier = Notifier(file, [channel], clock=lambda: now)

    failed = [notifier.send(make_notification(key=key, cause=key)).failed for key in "abc"]
    assert channel.keys == ["a"]
    assert failed[2] == {"webhook": "it is tried later, no answer within 10 s"}
    notifier.send(make_notification(key="page", severity="page"))
    assert channel.keys == ["a", "page"]
    channel.problems = []
    now += notification_outbox.REST
    notifier.flush(patient=True)
    assert channel.keys == ["a", "page", "page", "a", "b", "c"]


def test_what_was_told_already_waits_for_no_channel(file: Path) -> None:
    channel = Told([Problem("down")])
    notifier = Notifier(file, [channel])
    notifier.send(make_notification())

    assert notifier.send(make_notification()).fate == "repeated"
    assert len(channel.keys) == 1


def test_what_is_taken_after_nobody_waits_any_longer_is_not_sent_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification_outbox, "WAIT_SECONDS", 0.05)
    answer = threading.Event()
    channel = Told([], then=lambda: answer.wait(5))
    now = datetime(2026, 3, 1, tzinfo=UTC)
    notifier = Notifier(file, [channel], clock=lambda: now)

    assert notifier.send(make_notification()).failed == {"webhook": "it has not answered yet"}
    now += timedelta(seconds=100)
    assert notifier.flush() == {}, "another still hands it over"
    answer.set()
    wait_until(lambda: notifier.status() == Status(0))
    now += timedelta(minutes=5)
    notifier.flush()

    assert channel.keys == ["c1/7"]
    assert [line["kind"] for line in lines(file)] == ["canary-rolled-back"]


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_page_that_is_never_answered_is_posted_a_few_times_and_then_once_a_day(file: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    channel = Told([Problem("no answer within 10 s", "unanswered")] * 99)
    notifier = Notifier(file, [channel], clock=lambda: now)
    notifier.send(make_notification(severity="page"))
    began, at_minute = now, [0]
    for minute in (*range(1, 20), *range(27, 3 * 24 * 60, 20)):
        now = began + timedelta(minutes=minute)
        notifier.flush(patient=True)
        at_minute += [minute] * (len(channel.keys) - len(at_minute))

    assert at_minute == [0, 1, 3, 7, 7 + 1440, 7 + 2 * 1440]
    assert notifier.status().undelivered == {}
    assert notifier.status().perhaps_delivered == {"webhook": 1}
    notes = [line["cause"] for line in lines(file) if line["kind"] == "notification-failed"]
    assert len(notes) == 2
    assert "perhaps it arrived" in notes[1]


def test_what_has_perhaps_arrived_does_not_go_with_the_next_one(file: Path) -> None:
    channel = Told([Problem("no answer within 10 s", "unanswered")])
    notifier = Notifier(file, [channel])
    notifier.send(make_notification(key="a", cause="a"))
    notifier.send(make_notification(key="b", cause="b"))

    assert channel.keys == ["a", "b"]
    notifier.flush()
    assert channel.keys == ["a", "b", "a"], "a person who flushes wants all of it"


def test_a_letter_rests_longer_each_time_until_its_channel_takes_something(file: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    channel = Told([Problem("down")] * 20)
    notifier = Notifier(file, [channel], clock=lambda: now)
    notifier.send(make_notification(key="a", cause="a"))
    at_minute = [0]
    for minute in range(1, 200):
        now += timedelta(minutes=1)
        notifier.flush(patient=True)
        at_minute += [minute] * (len(channel.keys) - len(at_minute))
    assert at_minute == [0, 1, 3, 7, 15, 31, 63, 123, 183]

    channel.problems = [Problem("this one", "message"), None]
    notifier.send_all([make_notification(key=key, cause=key, severity="page") for key in ("p", "q")])
    assert channel.keys[-3:] == ["p", "q", "a"]
    assert notifier.status().undelivered == {"webhook": 1}


def test_when_a_channel_takes_something_what_rests_need_not_wait_any_longer(file: Path) -> None:
    began = now = datetime(2026, 3, 1, tzinfo=UTC)
    channel = Told([Problem("down"), Problem("down")])
    notifier = Notifier(file, [channel], clock=lambda: now)
    notifier.send_all([make_notification(key=key, cause=key) for key in "ab"])
    for seconds in (61, 122, 127):
        now = began + timedelta(seconds=seconds)
        notifier.flush(patient=True)

    assert channel.keys == ["a", "a", "b", "a"]


def test_what_failed_at_its_first_try_is_noted_also_when_it_had_been_held(file: Path) -> None:
    night, morning = "2026-03-01T23:00:00+00:00", "2026-03-02T07:00:00+00:00"
    notifier = Notifier(file, [Told([Problem("down")] * 9)], NotificationRule(quiet=(NIGHT,)))
    notifier.send(make_notification(at=night))
    notifier.flush(morning)
    notifier.flush(morning)

    assert [line["kind"] for line in lines(file)] == ["canary-rolled-back", "notification-failed"]


def test_a_state_of_an_older_version_keeps_its_letters(file: Path) -> None:
    with serving(500, 500) as hook:
        hooked(file, hook.url).send(make_notification())
        stored = json.loads(file.with_suffix(".state.json").read_text())
        for letter in stored["outbox"]:
            letter |= {"pending": {"webhook": 2}, "leased_until": None}
        file.with_suffix(".state.json").write_text(json.dumps(stored))
        hook.bodies.clear()
        assert hooked(file, hook.url).flush() == {}

    assert keys(hook.bodies) == ["c1/7"]


def test_a_test_that_failed_stands_in_the_file_and_is_not_repeated(file: Path) -> None:
    channel = Told([Problem("down")])
    notifier = Notifier(file, [channel])

    assert notifier.test(NOON) == {"file": None, "webhook": "down"}
    notifier.flush()
    assert channel.keys == [NOON]
    assert lines(file)[-1]["cause"] == "down; a test is not repeated"


def test_a_muted_kind_goes_nowhere_even_without_the_file(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("")
    channel = Told([])
    notifier = Notifier(
        tmp_path / "a-file" / "n.jsonl", [channel], NotificationRule(muted=("canary-rolled-back",))
    )

    assert notifier.send(make_notification()).fate == "muted"
    assert channel.keys == []


def test_the_policy_says_whose_clock_is_meant(file: Path, tmp_path: Path) -> None:
    policy = load_policy("responsible")
    policy = policy.model_copy(
        update={
            "triggers": policy.triggers.model_copy(update={"time_zone": "Asia/Tokyo"}),
            "notifications": NotificationRule(quiet=(NIGHT,)),
        }
    )
    settings = Settings.from_environment({"ATTRITION_DATA": str(tmp_path)})

    sent = build_notifier(settings, policy).send(make_notification(at="2026-03-01T13:00:00+00:00"))

    assert sent.fate == "held"


def test_a_file_that_was_moved_away_is_begun_anew(file: Path) -> None:
    channel = Told([])
    for n in range(3):
        Notifier(file, [channel]).send(make_notification(key=str(n), cause=str(n)))
    file.rename(file.with_name("old.jsonl"))
    Notifier(file, [channel]).flush(NOON)
    Journal(file).append({"kind": "any line"})
    Notifier(file, [channel]).flush(NOON)
    Journal(file).append(make_notification(key="killed", cause="killed").as_json())
    Notifier(file, [channel]).flush(NOON)

    assert channel.keys == ["0", "1", "2", "killed"]


def test_notes_and_tests_in_the_file_are_told_to_nobody(file: Path) -> None:
    channel = Told([])
    notifier = Notifier(file, [channel])
    notifier.send(make_notification())
    notifier.test(NOON)
    notifier.flush()

    assert channel.keys == ["c1/7", NOON]


def test_who_follows_the_file_sees_a_line_when_it_has_ended(file: Path) -> None:
    notifier = Notifier(file)
    notifier.send(make_notification())
    with file.open("ab") as writer:
        writer.write(b'{"kind": "half')
    told, offset = notifier.lines_since(0)
    assert len(told) == 1
    with file.open("ab") as writer:
        writer.write(b'"}\n')

    assert notifier.lines_since(offset)[0] == [{"kind": "half"}]


def test_pages_go_before_what_waits(file: Path) -> None:
    with serving(500, 500) as hook:
        notifier = hooked(file, hook.url)
        notifier.send(make_notification(key="ticket"))
        hook.bodies.clear()
        notifier.send(make_notification(key="page", severity="page"))

    assert keys(hook.bodies) == ["page", "ticket"]


def test_the_status_names_who_fails_since_when_until_it_takes_one(file: Path) -> None:
    with serving(500, 500) as hook:
        notifier = hooked(file, hook.url)
        notifier.send(make_notification())
        assert notifier.status().failing["webhook"][1] == "it answered HTTP 500"
        notifier.flush()

    assert notifier.status().failing == {}


@pytest.mark.parametrize("at", ["", "yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_time_that_is_none_stops_nothing(file: Path, at: str) -> None:
    assert (
        Notifier(file, (), NotificationRule(quiet=(NIGHT,)), "Asia/Tokyo")
        .send(make_notification(at=at))
        .failed
        == {}
    )
    assert Notifier(file).flush(at) == {}


# --- grouped, held, muted


def test_several_of_one_cause_become_one_message_when_the_window_ends(file: Path) -> None:
    with serving() as hook:
        fates = [
            hooked(file, hook.url).send(make_notification(key=str(n), cause_kind="drift")).fate
            for n in range(5)
        ]
        assert keys(hook.bodies) == ["0"]
        hooked(file, hook.url).flush("2026-03-01T12:59:59+00:00")
        assert len(hook.bodies) == 1
        hooked(file, hook.url).flush("2026-03-01T13:00:00+00:00")
        hooked(file, hook.url).flush("2026-03-01T13:00:01+00:00")

    assert fates == ["told", *["grouped"] * 4]
    follow_up = hook.bodies[1]
    assert len(hook.bodies) == 2
    assert follow_up["count"] == 4
    assert [other["key"] for other in follow_up["others"]] == ["1", "2", "3", "4"]
    assert follow_up["text"].startswith("4 times: ")
    assert [line["fate"] for line in lines(file)] == fates


def test_quiet_hours_hold_tickets_and_let_pages_pass(file: Path) -> None:
    night, morning = "2026-03-01T23:00:00+00:00", "2026-03-02T07:00:00+00:00"
    with serving() as hook:
        notifier = hooked(file, hook.url, quiet=(NIGHT,))
        for key in ("a", "b"):
            assert notifier.send(make_notification(key=key, cause=key, at=night)).fate == "held"
        assert notifier.send(make_notification(severity="page", at=night)).fate == "told"
        assert keys(hook.bodies) == ["c1/7"]
        notifier.flush(morning)

    assert keys(hook.bodies) == ["c1/7", "a", "b"]


def test_quiet_hours_are_of_the_policys_time_zone(file: Path) -> None:
    notifier = Notifier(file, (), NotificationRule(quiet=(NIGHT,)), "Asia/Tokyo")

    assert notifier.send(make_notification(at="2026-03-01T13:00:00+00:00")).fate == "held"
    assert notifier.send(make_notification(key="b", at="2026-03-01T22:00:00+00:00")).fate == "told"


def test_muted_kinds_are_in_the_file_alone(file: Path) -> None:
    with serving() as hook:
        notifier = hooked(file, hook.url, muted=("canary-rolled-back",))
        assert notifier.send(make_notification()).fate == "muted"

    assert hook.bodies == []
    assert [line["fate"] for line in lines(file)] == ["muted"]


def test_owner_and_runbook_are_filled_in(file: Path) -> None:
    notifier = Notifier(file, (), NotificationRule(owner="ana", runbooks="https://wiki.example.org/"))
    notifier.send(make_notification(runbook="drift"))
    notifier.send(make_notification(key="b", owner="ben", runbook="docs/runbooks/outage.md"))

    assert [(line["owner"], line["runbook"]) for line in lines(file)] == [
        ("ana", "https://wiki.example.org/drift.md"),
        ("ben", "docs/runbooks/outage.md"),
    ]


# --- several processes, killed processes


def test_what_a_killed_process_only_wrote_to_the_file_is_told_by_the_next(file: Path) -> None:
    with serving() as hook:
        hooked(file, hook.url).send(make_notification(key="a", cause="a"))
        Journal(file).append(make_notification(key="b", cause="b").as_json())
        hooked(file, hook.url).flush()

    assert keys(hook.bodies) == ["a", "b"]


def test_a_file_that_was_there_before_is_not_told_again(file: Path) -> None:
    Notifier(file).send(make_notification())
    file.with_suffix(".state.json").unlink()
    with serving() as hook:
        assert hooked(file, hook.url).send(make_notification()).repeated
        hooked(file, hook.url).send(make_notification(key="b", cause="b"))

    assert keys(hook.bodies) == ["b"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1}', '{"version": 99}'])
def test_a_damaged_state_is_made_anew_and_said_so(file: Path, damage: str) -> None:
    Notifier(file).send(make_notification())
    file.with_suffix(".state.json").write_text(damage)

    assert Notifier(file).send(make_notification()).repeated
    assert lines(file)[-1]["title"] == "The state of the notifications was lost"
    assert Notifier(file).send(make_notification(key="b", cause="b")).fate == "told"


def test_a_letter_that_a_killed_process_had_taken_is_sent_when_its_lease_ends(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)

    monkeypatch.setattr(notification_outbox, "WAIT_SECONDS", 0.05)
    Notifier(file, [Told([], then=lambda: time.sleep(3600))], clock=lambda: now).send(make_notification())
    with serving() as hook:
        other = Notifier(file, [Webhook(hook.url)], clock=lambda: now)
        other.flush()
        assert hook.bodies == []
        now += notification_outbox.LEASE
        other.flush()

    assert keys(hook.bodies) == ["c1/7"]


_SENDER = """
import sys
from pathlib import Path
from attrition_platform.adapters.notification_channels import Webhook
from attrition_platform.adapters.notifications import Notification, Notifier

notifier = Notifier(Path(sys.argv[1]), [Webhook(sys.argv[2])])
for n in range(10_000):
    key = f"{sys.argv[3]}-{n}"
    at = "2026-03-01T12:00:00.000+00:00"
    notifier.send(Notification("drift", key, "t", key, None, None, {}, None, at))
    print(key, flush=True)
"""


@pytest.mark.slow
def test_nothing_is_lost_when_senders_are_killed(file: Path) -> None:
    """Two processes share a file; both die in the middle of something; what they had sent arrives."""
    file.parent.mkdir(parents=True)
    with serving() as hook:
        environment = os.environ | {"PYTHONPATH": os.getcwd()}
        senders = [
            subprocess.Popen(
                [sys.executable, "-c", _SENDER, str(file), hook.url, name],
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for name in ("a", "b")
        ]
        for sender in senders:
            assert sender.stdout is not None
            sender.stdout.readline()
        time.sleep(1.0)
        sent = []
        for sender in senders:
            sender.send_signal(signal.SIGKILL)
            sent += [line.strip() for line in (sender.communicate()[0] or "").splitlines()]
        later = datetime.now(UTC) + notification_outbox.LEASE
        Notifier(file, [Webhook(hook.url)], clock=lambda: later).flush()

    assert len(sent) > 2
    assert set(sent) <= set(keys(hook.bodies))
    assert {line["key"] for line in lines(file)} == set(keys(hook.bodies))
    # Told twice is only what a killed process had posted and not written down: at most one each.
    assert len(hook.bodies) - len(set(keys(hook.bodies))) <= len(senders)


def test_the_secrets_are_nowhere(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings.from_environment(
        {
            "ATTRITION_DATA": str(file.parent),
            "ATTRITION_WEBHOOK_URL": "http://127.0.0.1:1/hush-hook",
            "ATTRITION_SMTP_URL": "smtp://ana:hush-word@127.0.0.1:1",
            "ATTRITION_MAIL_FROM": "a@example.org",
            "ATTRITION_MAIL_TO": "b@example.org",
        }
    )
    notifier = build_notifier(settings, load_policy("responsible"))
    delivery = notifier.send(make_notification())
    found = notifier.test(NOON)

    assert set(delivery.failed) == {"webhook", "mail"}
    written = "".join(path.read_text() for path in file.parent.iterdir() if path.suffix != ".lock")
    assert "did not take" in written
    assert "hush" not in written + caplog.text + repr(delivery) + repr(found) + repr(settings)
