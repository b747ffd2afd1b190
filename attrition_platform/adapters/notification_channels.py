"""How a message leaves: a web hook (generic JSON, or as Slack wants it), and mail.

A channel returns what went wrong instead of raising it, in words without an address or a password: both
may hold a secret.
"""

from __future__ import annotations

import json
import smtplib
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from functools import partial
from typing import Any, Literal, Protocol
from urllib.parse import unquote, urlsplit

from attrition_platform.adapters.loopback import is_loopback
from attrition_platform.monitoring.wording import as_mail, as_slack
from attrition_platform.settings import WebhookFormat

ChannelName = Literal["file", "webhook", "mail"]
Scope = Literal["channel", "message", "partial", "unanswered"]

POST_SECONDS = 10.0
MAIL_SECONDS = 30.0
_TRIES = 2
# What a server answers when it is this one message that it does not want.
_MESSAGE_REFUSED = frozenset({400, 413, 422})
_GATEWAY_TIMEOUT = 504  # whoever stands behind the gateway may have taken it


@dataclass(frozen=True)
class Problem:
    """Why a channel did not take a message.

    Attributes
    ----------
    text : str
        In words, without address, user or password.
    scope : {"channel", "message", "partial", "unanswered"}
        ``channel``: others would fare alike, so it is tried again later; ``message``: this one was refused,
        so the next may pass; ``partial``: some got it, so it is not sent again; ``unanswered``: it was
        handed over whole and nothing was said to it in time, so perhaps it arrived.
    is_slow : bool
        Nothing was said within the time limit, so whoever tries again at once waits as long again.
    """

    text: str
    scope: Scope = "channel"
    is_slow: bool = field(default=False, compare=False)


class Channel(Protocol):
    """A way to people."""

    @property
    def name(self) -> ChannelName:
        """Which one it is."""

    def take(self, document: Mapping[str, Any]) -> Problem | None:
        """Send a document of `wording.as_document`; never raises, ends within its time limit."""


@dataclass(frozen=True)
class Webhook:
    """Posts JSON to an address.

    Parameters
    ----------
    url : str
        Begins with http:// or https://; redirects are not followed.
    format : {"generic", "slack"}
        ``generic``: all fields, with ``text`` as one sentence; ``slack``: ``text`` and ``blocks``.
    """

    url: str = field(repr=False)
    format: WebhookFormat = "generic"
    name: ChannelName = "webhook"

    def take(self, document: Mapping[str, Any]) -> Problem | None:
        """Post, and once again where that failed at once; never again where no answer came in time."""
        wrong = _what_is_wrong_with(self.url)
        if wrong is not None:
            return Problem(wrong)
        content = as_slack(document) if self.format == "slack" else document
        body = json.dumps(content, ensure_ascii=False, allow_nan=False).encode(errors="replace")
        return _within(POST_SECONDS, partial(_post, self.url, body, POST_SECONDS))


@dataclass(frozen=True)
class Mail:
    """Sends a mail to each recipient.

    Parameters
    ----------
    url : str
        ``smtp[s]://[user:password@]host[:port]``. ``smtps`` speaks TLS from the first byte; ``smtp`` goes
        over to it with STARTTLS where the server offers that. User and password never cross a network
        without TLS, and the server's certificate is checked.
    sender : str
    recipients : tuple of str
        At least one.
    """

    url: str = field(repr=False)
    sender: str
    recipients: tuple[str, ...]
    name: ChannelName = "mail"

    def take(self, document: Mapping[str, Any]) -> Problem | None:
        """Send once."""
        try:
            letter = self.letter(document)
        except Exception as error:  # email raises many kinds for addresses that are none
            return Problem(f"it can't be written as a mail ({type(error).__name__})", "message")
        return _within(
            MAIL_SECONDS, partial(_mail, self.url, self.sender, self.recipients, letter, MAIL_SECONDS)
        )

    def letter(self, document: Mapping[str, Any]) -> bytes:
        """The mail as it is sent; one told again has the same Message-ID, so that programs know it."""
        subject, text = as_mail(document)
        letter = EmailMessage(policy=SMTP)
        letter["Subject"] = _clean(subject)
        letter["From"] = self.sender
        letter["To"] = ", ".join(self.recipients)
        letter["Date"] = formatdate()
        domain = self.sender.rpartition("@")[2].rstrip("> ") or "localhost"
        letter["Message-ID"] = f"<{document.get('id', 'test')}.{document.get('count', 1)}@{domain}>"
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(_clean(text))
        return letter.as_bytes()


def _clean(text: str) -> str:
    """Half characters, which a command line's broken bytes become, are no mail."""
    return text.encode(errors="replace").decode()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What we say goes to the address that was set and to no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class _Handover:
    """Whether a message has left us whole; set by the thread that sends, read by the one that waits."""

    done = False

    def no_answer(self, seconds: float) -> Problem:
        scope: Scope = "unanswered" if self.done else "channel"
        return Problem(f"no answer within {seconds:g} s", scope, is_slow=True)


def _within(seconds: float, work: Callable[[_Handover], Problem | None]) -> Problem | None:
    # A socket's time limit starts anew with every byte, so a slow talker could hold us for ever.
    said: list[Problem | None] = []
    handover = _Handover()
    thread = threading.Thread(target=lambda: said.append(work(handover)), daemon=True)
    thread.start()
    thread.join(seconds)
    return said[0] if said else handover.no_answer(seconds)


def _what_is_wrong_with(url: str) -> str | None:
    if not url.startswith(("http://", "https://")):
        return "its address must begin with http:// or https://"
    try:
        return None if urlsplit(url).hostname else "its address names no host"
    except ValueError:
        return "its address can't be read"


def _post(url: str, body: bytes, seconds: float, handover: _Handover) -> Problem | None:
    problem: Problem | None = None
    for _ in range(_TRIES):
        handover.done = False
        problem = _post_once(url, body, seconds, handover)
        if problem is None or problem.scope != "channel" or problem == handover.no_answer(seconds):
            return problem
    return problem


def _post_once(url: str, body: bytes, seconds: float, handover: _Handover) -> Problem | None:
    def parts() -> Iterator[bytes]:
        yield body
        handover.done = True  # who asks for more has sent what there was

    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": str(len(body)),
        "User-Agent": "attrition-platform",
    }
    try:
        request = urllib.request.Request(url, parts(), headers, method="POST")
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=seconds):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        scope: Scope = "message" if error.code in _MESSAGE_REFUSED else "channel"
        if error.code == _GATEWAY_TIMEOUT:
            scope = "unanswered"
        return Problem(f"it answered HTTP {error.code}", scope)
    except TimeoutError:
        return handover.no_answer(seconds)
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            return handover.no_answer(seconds)
        return Problem(f"it can't be reached ({type(error.reason).__name__})")
    except Exception as error:  # a broken answer raises from http.client, a broken address from anywhere
        return Problem(f"it can't be used ({type(error).__name__})")


def _mail(
    url: str, sender: str, recipients: tuple[str, ...], letter: bytes, seconds: float, handover: _Handover
) -> Problem | None:
    try:
        with _connected(url, seconds) as server:
            problem = _log_in(server, url)
            if problem is not None:
                return problem
            handover.done = True  # from here on a connection that breaks leaves it open whether it arrived
            refused = server.sendmail(sender, list(recipients), letter)
    except smtplib.SMTPAuthenticationError as error:
        return Problem(f"it refuses user and password (SMTP {error.smtp_code})")
    except smtplib.SMTPNotSupportedError:
        return Problem("it takes no user and password")
    except smtplib.SMTPRecipientsRefused:
        return Problem("it refuses every recipient")
    except smtplib.SMTPDataError as error:
        # 4xx is "not now", 5xx is "not this one".
        return Problem(
            f"it refuses the mail (SMTP {error.smtp_code})",
            "message" if error.smtp_code >= 500 else "channel",
        )
    except smtplib.SMTPResponseException as error:
        return Problem(f"it answered SMTP {error.smtp_code}")
    except ssl.SSLCertVerificationError:
        return Problem("its certificate can't be trusted")
    except TimeoutError:
        return handover.no_answer(seconds)
    except OSError as error:
        if isinstance(error.__context__, TimeoutError):  # smtplib turns it into a lost connection
            return handover.no_answer(seconds)
        what = f"it can't be reached ({type(error).__name__})"
        return Problem(what, "unanswered" if handover.done else "channel")
    except Exception as error:  # an answer that is no SMTP raises from anywhere
        return Problem(f"it can't be used ({type(error).__name__})")
    if refused:
        return Problem(f"it refuses {len(refused)} of {len(recipients)} recipients", "partial")
    return None


def _connected(url: str, seconds: float) -> smtplib.SMTP:
    address = urlsplit(url)
    host = address.hostname or ""
    if address.scheme == "smtps":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, address.port or 465, timeout=seconds, context=context)
    server = smtplib.SMTP(host, address.port or 587, timeout=seconds)
    try:
        server.ehlo_or_helo_if_needed()
        if server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
            server.ehlo()
    except BaseException:
        server.close()
        raise
    return server


def _log_in(server: smtplib.SMTP, url: str) -> Problem | None:
    address = urlsplit(url)
    if address.username is None:
        return None
    # Whoever stands between could leave STARTTLS out of the offer and read the password.
    if not isinstance(server.sock, ssl.SSLSocket) and not is_loopback(address.hostname or ""):
        return Problem("it offers no TLS, so user and password were not sent")
    server.login(unquote(address.username), unquote(address.password or ""))
    return None
