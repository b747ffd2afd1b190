"""Who may ask: this machine's own programs while there is no key, then nobody without one."""

from __future__ import annotations

import timeit

import pytest

from attrition_platform.adapters.api_keys import ApiKey, ApiKeys
from attrition_platform.serving.access import LOCAL, Caller, Refusal, check_role, identify

KEY = "attr_" + "k" * 43
Header = tuple[bytes, bytes]


class FewKeys:
    """Keys that are given, not read."""

    def __init__(self, *known: str) -> None:
        self.known = known

    def any(self) -> bool:
        return bool(self.known)

    def find(self, key: str) -> ApiKey | None:
        return ApiKey("hr", frozenset({"predict"}), "2026") if key in self.known else None


NO_KEYS, ONE_KEY = FewKeys(), FewKeys(KEY)


def ask(
    *headers: Header,
    keys: FewKeys = NO_KEYS,
    client: str | None = "127.0.0.1",
    loopback: bool = True,
    host: bytes = b"127.0.0.1:8000",
    allowed: tuple[bytes, ...] | None = None,
) -> Caller | str:
    """Return the caller, or the refusal's code."""
    answer = identify([(b"host", host), *headers], client, keys, loopback, allowed)
    return answer.code if isinstance(answer, Refusal) else answer


@pytest.mark.parametrize(
    "host",
    [
        b"localhost",
        b"localhost:8000",
        b"LOCALHOST:80",
        b"127.0.0.1",
        b"127.0.0.1:65535",
        b"[::1]",
        b"[::1]:8000",
    ],
)
@pytest.mark.parametrize("client", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_without_keys_a_local_caller_may_predict_and_explain(host: bytes, client: str) -> None:
    assert ask(host=host, client=client) == Caller("local", frozenset({"predict", "explain"}))


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"evil.example:8000",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"127.0.0.2",
        b"localhost.",
        b"[::2]",
        b"0.0.0.0:8000",
    ],
)
def test_a_name_made_to_resolve_to_loopback_reaches_nothing(host: bytes) -> None:
    """DNS rebinding: the socket is local, the page is not; the Host header tells."""
    assert ask(host=host) == "wrong-host"
    assert ask((b"x-api-key", KEY.encode()), host=host, keys=ONE_KEY) == "wrong-host"


@pytest.mark.parametrize(
    "host", [b"", b"localhost:", b"localhost:80@evil.example", b"[::1]80", b"[::1", b":80", b"a:b:c"]
)
def test_what_is_no_host_is_a_bad_request(host: bytes) -> None:
    assert ask(host=host) == "bad-host"


def test_a_request_without_host_is_a_bad_request() -> None:
    answer = identify([], "127.0.0.1", NO_KEYS, True)

    assert isinstance(answer, Refusal)
    assert (answer.status, answer.code) == (400, "bad-host")


@pytest.mark.parametrize("name", [b"host", b"authorization", b"x-api-key", b"origin"])
def test_a_header_that_decides_may_come_only_once(name: bytes) -> None:
    assert ask((name, b"localhost"), (name, b"localhost")) == "repeated-header"


@pytest.mark.parametrize(
    "header",
    [
        (b"origin", b"http://evil.example"),
        (b"origin", b"null"),
        (b"origin", b"http://127.0.0.1:3000"),
        (b"origin", b"http://localhost:8000"),
        (b"origin", b""),
        (b"sec-fetch-site", b"cross-site"),
        (b"sec-fetch-site", b"anything-new"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"forwarded", b"for=127.0.0.1"),
        (b"via", b"1.1 proxy"),
    ],
)
def test_without_keys_a_foreign_page_or_a_proxy_can_not_borrow_this_machines_rights(header: Header) -> None:
    assert ask(header) == "cross-site"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"origin", b"http://127.0.0.1:8000"), (b"sec-fetch-site", b"same-origin")],
        [(b"origin", b"HTTP://127.0.0.1:8000")],
        [(b"sec-fetch-site", b"none")],
        [(b"sec-fetch-site", b"same-site")],
    ],
)
def test_our_own_page_is_a_local_caller(headers: list[Header]) -> None:
    assert ask(*headers) == LOCAL


@pytest.mark.parametrize("client", ["10.0.0.5", "::ffff:10.0.0.5", "1270.0.0.1", "2001:db8::1", "", None])
def test_without_keys_a_caller_from_elsewhere_is_refused(client: str | None) -> None:
    assert ask(client=client) == "no-key"


def test_a_service_that_others_can_reach_needs_keys_even_for_local_callers() -> None:
    assert ask(loopback=False) == "no-key"


def test_an_allowed_host_does_not_make_a_keyless_caller_local() -> None:
    """A reverse proxy on this machine keeps the public name: without keys it would open the service."""
    assert ask(host=b"hr.example", allowed=(b"hr.example",)) == "cross-site"


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"Bearer " + KEY.encode()),
        (b"authorization", b"bearer  " + KEY.encode()),
        (b"x-api-key", KEY.encode()),
    ],
)
@pytest.mark.parametrize("loopback", [True, False])
def test_with_keys_the_holder_of_one_is_known_by_its_name(header: Header, loopback: bool) -> None:
    client = "127.0.0.1" if loopback else "10.0.0.5"

    caller = ask(header, keys=ONE_KEY, loopback=loopback, client=client)

    assert caller == Caller("hr", frozenset({"predict"}))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Bearer wrong")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"")],
        [(b"authorization", b"Basic " + KEY.encode())],
        [(b"authorization", KEY.encode())],
        [(b"x-api-key", b"\xff\xfe")],
        [(b"x-api-key", KEY.encode()), (b"authorization", b"Bearer wrong")],
        [(b"x-api-key", b"wrong"), (b"authorization", b"Bearer " + KEY.encode())],
    ],
)
def test_with_keys_nobody_gets_in_without_one_and_the_answer_is_always_the_same(
    headers: list[Header],
) -> None:
    refusal = identify([(b"host", b"localhost"), *headers], "127.0.0.1", ONE_KEY, True)

    assert refusal == identify([(b"host", b"localhost")], "127.0.0.1", ONE_KEY, True)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.headers) == (401, ((b"www-authenticate", b"Bearer"),))


def test_a_key_beside_a_proxys_own_credentials_is_read() -> None:
    assert ask((b"authorization", b"Basic eDp5"), (b"x-api-key", KEY.encode()), keys=ONE_KEY) != "no-key"


@pytest.mark.parametrize(
    ("host", "allowed", "welcome"),
    [
        (b"anything.example", None, True),
        (b"hr.example:443", (b"hr.example",), True),
        (b"HR.example", (b"hr.example",), True),
        (b"localhost:8000", (b"hr.example",), True),
        (b"evil.example", (b"hr.example",), False),
    ],
)
def test_elsewhere_the_operator_says_which_hosts_are_meant(
    host: bytes, allowed: tuple[bytes, ...] | None, welcome: bool
) -> None:
    key = (b"x-api-key", KEY.encode())

    answer = ask(key, keys=ONE_KEY, loopback=False, client="10.0.0.5", host=host, allowed=allowed)

    assert (answer != "wrong-host") == welcome


def test_a_missing_role_is_named_and_refused() -> None:
    holder = Caller("hr", frozenset({"predict"}))

    refusal = check_role(holder, "operate")

    assert check_role(holder, "predict") is None
    assert refusal is not None
    assert (refusal.status, refusal.code) == (403, "role-missing")
    assert "role 'operate'" in refusal.detail


def test_a_local_caller_may_not_operate() -> None:
    assert check_role(LOCAL, "operate") is not None


def test_no_refusal_repeats_what_was_sent() -> None:
    sent = b"secret-looking-value"
    for headers in ([(b"host", sent)], [(b"host", b"localhost"), (b"origin", sent)], [(b"x", sent)]):
        refusal = identify(headers, "127.0.0.1", NO_KEYS, True)
        assert isinstance(refusal, Refusal)
        assert sent.decode() not in refusal.detail


@pytest.mark.slow
def test_the_question_costs_a_few_microseconds(tmp_path: object) -> None:
    """Budget on a quiet core: 3 us without keys, 6 us with one; doubled here because machines are shared."""
    keys = ApiKeys(tmp_path / "keys.json", b"s" * 32)  # type: ignore[operator]
    none = ApiKeys(tmp_path / "none.json", b"s" * 32)  # type: ignore[operator]
    key = keys.add("hr", ["predict"], "2026")
    headers = [(b"host", b"127.0.0.1:8000"), *((b"x-%d" % i, b"value") for i in range(7))]
    with_key = [*headers, (b"authorization", b"Bearer " + key.encode())]

    def cost(sent: list[Header], known: ApiKeys) -> float:
        runs = timeit.repeat(lambda: identify(sent, "127.0.0.1", known, True), number=5_000, repeat=15)
        return min(runs) / 5_000

    assert cost(headers, none) < 6e-6
    assert cost(with_key, keys) < 12e-6
