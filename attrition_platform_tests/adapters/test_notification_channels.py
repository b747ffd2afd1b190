"""Web hooks and mail against real servers on loopback; no problem quotes an address or a password."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters import notification_channels
from attrition_platform.adapters.notification_channels import Mail, Problem, Webhook
from attrition_platform.monitoring.grouping import Message
from attrition_platform.monitoring.notification import Notification
from attrition_platform.monitoring.wording import as_document
from attrition_platform_tests.adapters.notification_servers import (
    MailServer,
    mailing,
    make_certificate,
    server_side,
    serving,
    talking,
)


def make_document(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "kind": "drift",
        "key": "w7",
        "title": "Window w7 drifted in 2 columns: income, age",
        "cause": "The score is above 0.1",
        "version_before": "m1",
        "version_after": "m2",
        "evidence": {"n_rows": 5000},
        "run_url": "http://127.0.0.1:3000/runs/r1",
        "at": "2026-03-01T12:00:00.000+00:00",
        "severity": "ticket",
        "cause_kind": "drift",
        "pipeline": "drift_report",
        "owner": "people-analytics",
        "runbook": "docs/runbooks/drift.md",
        "metrics": {"recall": 0.61803, "roc_auc": None},
    }
    return as_document(Message((Notification(**(fields | changes)),), 1))


def url_of(server: MailServer, user: str = "", scheme: str = "smtp", host: str = "localhost") -> str:
    return f"{scheme}://{user}{host}:{server.port}"


def make_mail(url: str, *recipients: str) -> Mail:
    return Mail(url, "platform@example.org", recipients or ("ana@example.org",))


def _says_nothing(connection: socket.socket) -> None:
    connection.recv(65536)
    time.sleep(5)


def _drips(connection: socket.socket) -> None:
    for byte in b"220 " + b"." * 500:
        connection.send(bytes([byte]))
        time.sleep(0.02)


def _babbles(connection: socket.socket) -> None:
    connection.send(b"what?\r\n\r\n")
    connection.recv(65536)


# --- web hook


def test_a_generic_hook_gets_every_field() -> None:
    with serving() as hook:
        assert Webhook(hook.url).take(make_document()) is None

    (body,) = hook.bodies
    assert body["owner"] == "people-analytics"
    assert body["runbook"] == "docs/runbooks/drift.md"
    assert body["metrics"] == {"recall": 0.61803, "roc_auc": None}
    assert (body["version_before"], body["version_after"], body["count"]) == ("m1", "m2", 1)
    assert body["text"].startswith("Window w7 drifted")


def test_slack_gets_text_and_blocks_in_which_nothing_is_a_mention() -> None:
    with serving() as hook:
        document = make_document(title="a < b & <!channel>", cause="<@U1> & *co*")
        assert Webhook(hook.url, "slack").take(document) is None

    (body,) = hook.bodies
    assert set(body) == {"text", "blocks"}
    assert "&lt;!channel&gt;" in body["text"]
    assert "&lt;@U1&gt; &amp; *co*" in body["blocks"][1]["text"]["text"]
    # A header is plain text, which Slack shows as it is.
    assert body["blocks"][0]["text"] == {"type": "plain_text", "text": "[ticket] a < b & <!channel>"}
    assert "<http://127.0.0.1:3000/runs/r1|Run>" in body["blocks"][-1]["elements"][0]["text"]
    mrkdwn = re.sub(r"<http[^<>|]*\|Run>", "", str([body["text"], body["blocks"][1:]]))
    assert "<" not in mrkdwn


def test_slack_never_gets_a_part_that_is_too_long_for_it() -> None:
    evidence = {f"column-{i}": "&" * 50 for i in range(200)}
    document = make_document(title="&" * 500, cause="<" * 9_000, evidence=evidence)
    with serving() as hook:
        assert Webhook(hook.url, "slack").take(document) is None

    (body,) = hook.bodies
    header, section, *others = body["blocks"]
    assert len(header["text"]["text"]) <= 150
    assert len(section["text"]["text"]) <= 3_000
    assert len(body["text"]) <= 4_000
    for block in others:
        assert len(block.get("fields", [])) <= 10
        assert all(len(field["text"]) <= 2_000 for field in block.get("fields", []))
    entities = re.sub(r"&(amp|lt|gt);", "", section["text"]["text"] + body["text"])
    assert "&" not in entities


@pytest.mark.parametrize(
    ("status", "n_tries", "scope"),
    [(400, 1, "message"), (404, 2, "channel"), (429, 2, "channel"), (504, 1, "unanswered")],
)
def test_a_message_that_is_refused_is_told_from_a_hook_that_fails(
    status: int, n_tries: int, scope: str
) -> None:
    with serving(status, status) as hook:
        problem = Webhook(hook.url).take(make_document())

    assert problem == Problem(f"it answered HTTP {status}", scope)  # type: ignore[arg-type]
    assert len(hook.bodies) == n_tries


@pytest.mark.parametrize("talk", [_says_nothing, _drips])
def test_a_hook_that_took_it_and_says_nothing_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, talk: Callable[[socket.socket], None]
) -> None:
    monkeypatch.setattr(notification_channels, "POST_SECONDS", 0.2)
    asked: list[int] = []

    def counted(connection: socket.socket) -> None:
        asked.append(1)
        talk(connection)

    with talking(counted) as url:
        problem = Webhook(url).take(make_document())

    assert problem == Problem("no answer within 0.2 s", "unanswered")
    assert len(asked) == 1


def test_a_hook_that_can_not_be_connected_to_has_surely_not_got_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_slow(*_: Any, **__: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", too_slow)

    assert Webhook("http://127.0.0.1:1/").take(make_document()) == Problem("no answer within 10 s")


@pytest.mark.parametrize("url", ["http://", "https:///hook", "http://:80/"])
def test_an_address_without_a_host_is_told_as_such(url: str) -> None:
    assert Webhook(url).take(make_document()) == Problem("its address names no host")


def test_no_channel_shows_its_secret() -> None:
    channels = [Webhook("http://host/secret"), make_mail("smtp://ana:secret@host")]

    assert "secret" not in repr(channels)


# --- mail


def test_a_mail_has_everything_and_is_known_again() -> None:
    with mailing() as server:
        mail = make_mail(url_of(server), "ana@example.org", "ben@example.org")
        assert mail.take(make_document()) is None
        assert mail.take(make_document()) is None

    first, again = server.mails
    assert first["Subject"] == "[ticket] Window w7 drifted in 2 columns: income, age"
    assert first["To"] == "ana@example.org, ben@example.org"
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Message-ID"] == again["Message-ID"]
    text = first.get_content()
    for said in (
        "owner: people-analytics",
        "champion before: m1",
        "recall 0.618",
        "roc_auc unknown",
        "drift.md",
    ):
        assert said in text
    assert [c for c in server.commands if c.upper().startswith("RCPT")][:2] == [
        "rcpt TO:<ana@example.org>",
        "rcpt TO:<ben@example.org>",
    ]


def test_a_title_can_not_add_a_recipient() -> None:
    with mailing() as server:
        problem = make_mail(url_of(server)).take(
            make_document(title="x\r\nBcc: eve@example.org", cause="\udcff é")
        )

    assert problem is None
    assert server.mails[0]["Bcc"] is None
    assert "? é" in server.mails[0].get_content()


def test_user_and_password_go_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with mailing(server_side(pem)) as server:
        assert make_mail(url_of(server, "ana:p%40ss@")).take(make_document()) is None

    assert server.logins == ["\0ana\0p@ss"]
    assert server.encrypted == [True]
    assert server.commands.index("STARTTLS") < next(
        n for n, c in enumerate(server.commands) if c.startswith("AUTH")
    )


def test_tls_from_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with mailing(server_side(pem), from_the_first_byte=True) as server:
        assert make_mail(url_of(server, "ana:pw@", "smtps")).take(make_document()) is None

    assert (server.logins, server.encrypted) == (["\0ana\0pw"], [True])


@pytest.mark.parametrize("first_byte", [True, False])
def test_a_certificate_that_nobody_trusts_gets_nothing(tmp_path: Path, first_byte: bool) -> None:
    with mailing(server_side(make_certificate(tmp_path)), from_the_first_byte=first_byte) as server:
        problem = make_mail(url_of(server, "ana:pw@", "smtps" if first_byte else "smtp")).take(
            make_document()
        )

    assert problem == Problem("its certificate can't be trusted")
    assert (server.logins, server.mails) == ([], [])


def test_a_certificate_of_another_name_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = make_certificate(tmp_path, "elsewhere.example.org")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with mailing(server_side(pem)) as server:
        assert make_mail(url_of(server)).take(make_document()) == Problem("its certificate can't be trusted")


def test_a_password_is_not_sent_where_tls_was_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification_channels, "is_loopback", lambda _host: False)
    with mailing() as server:
        problem = make_mail(url_of(server, "ana:pw@")).take(make_document())

    assert problem == Problem("it offers no TLS, so user and password were not sent")
    assert (server.logins, server.mails) == ([], [])


@pytest.mark.parametrize(
    ("refuses", "expected"),
    [
        ({"AUTH": "535 no"}, Problem("it refuses user and password (SMTP 535)")),
        ({"rcpt": "550 no"}, Problem("it refuses every recipient")),
        ({"rcpt TO:<ben": "550 no"}, Problem("it refuses 1 of 2 recipients", "partial")),
        ({"BODY": "554 spam"}, Problem("it refuses the mail (SMTP 554)", "message")),
        ({"BODY": "451 later"}, Problem("it refuses the mail (SMTP 451)", "channel")),
        ({"mail": "550 no"}, Problem("it answered SMTP 550")),
    ],
)
def test_each_refusal_is_told_without_a_secret(refuses: dict[str, str], expected: Problem) -> None:
    with mailing(refuses=refuses) as server:
        mail = make_mail(url_of(server, "ana:hush@"), "ana@example.org", "ben@example.org")
        problem = mail.take(make_document())

    assert problem == expected
    assert "hush" not in str(problem)


def test_a_server_without_log_in_is_told() -> None:
    with mailing(login=False) as server:
        problem = make_mail(url_of(server, "ana:hush@")).take(make_document())

    assert problem == Problem("it takes no user and password")


def test_a_dead_mail_server_is_a_problem_and_nothing_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    problem = make_mail(f"smtp://127.0.0.1:{port}").take(make_document())

    assert problem == Problem("it can't be reached (ConnectionRefusedError)")


@pytest.mark.parametrize("talk", [_says_nothing, _drips])
def test_a_mail_server_that_hangs_costs_one_time_limit(
    monkeypatch: pytest.MonkeyPatch, talk: Callable[[socket.socket], None]
) -> None:
    monkeypatch.setattr(notification_channels, "MAIL_SECONDS", 0.2)
    with talking(talk, "smtp") as url:
        started = time.monotonic()
        problem = make_mail(url.rstrip("/")).take(make_document())

    assert problem == Problem("no answer within 0.2 s")
    assert time.monotonic() - started < 0.6


def test_a_mail_that_was_handed_over_and_not_answered_has_perhaps_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notification_channels, "MAIL_SECONDS", 0.3)

    def takes_and_is_silent(connection: socket.socket) -> None:
        connection.send(b"220 test\r\n")
        while line := connection.recv(4096):
            if line.endswith(b"\r\n.\r\n"):
                time.sleep(2)
            connection.send(b"354 go on\r\n" if line.upper() == b"DATA\r\n" else b"250 ok\r\n")

    with talking(takes_and_is_silent, "smtp") as url:
        problem = make_mail(url.rstrip("/")).take(make_document())

    assert problem == Problem("no answer within 0.3 s", "unanswered")


def test_an_answer_that_is_no_smtp_is_a_problem() -> None:
    with talking(_babbles, "smtp") as url:
        assert make_mail(url.rstrip("/")).take(make_document()) is not None
