"""Real servers on loopback that notifications are sent to: a web hook, a mail server, and bad talkers."""

from __future__ import annotations

import base64
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Hook:
    """A server that remembers what it was sent, and answers with the next of `answers`."""

    url: str
    answers: list[int]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    types: list[str | None] = field(default_factory=list)


@contextmanager
def serving(*answers: int, location: str | None = None, port: int = 0) -> Iterator[Hook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.bodies.append(json.loads(body))
            hook.types.append(self.headers["Content-Type"])
            status = hook.answers.pop(0) if hook.answers else 200
            self.send_response(status)
            if location is not None and 300 <= status < 400:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            hook.bodies.append({"followed": True})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    hook = Hook(f"http://127.0.0.1:{server.server_port}/hook-secret", list(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def talking(talk: Callable[[socket.socket], None], scheme: str = "http") -> Iterator[str]:
    """A port where someone listens who is no server of that kind."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = threading.Event()

        def accept() -> None:
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

        def converse(connection: socket.socket) -> None:
            with connection:
                try:
                    talk(connection)
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/"
        stopped.set()


@dataclass
class MailServer:
    """A server that remembers each command, each mail and who logged in.

    Attributes
    ----------
    refuses : dict of str to str
        By the beginning of a command (``RCPT TO:<b@``, or ``BODY`` for the mail), what is answered to it.
    """

    port: int = 0
    refuses: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)


@contextmanager
def mailing(
    tls: ssl.SSLContext | None = None,
    *,
    from_the_first_byte: bool = False,
    login: bool = True,
    refuses: dict[str, str] | None = None,
) -> Iterator[MailServer]:
    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

        def secure(self) -> None:
            assert tls is not None
            self.request = tls.wrap_socket(self.request, server_side=True)
            super().setup()

        def setup(self) -> None:
            super().setup()
            self.safe = from_the_first_byte
            try:
                if from_the_first_byte:
                    self.secure()
            except OSError:
                self.rfile.close()

        def handle(self) -> None:
            try:
                self.talk()
            except (OSError, ValueError):
                return

        def talk(self) -> None:
            self.say("220 test ESMTP")
            for raw in self.rfile:
                line = raw.decode().strip()
                seen.commands.append(line)
                refusal = next((said for start, said in seen.refuses.items() if line.startswith(start)), None)
                if refusal is not None:
                    self.say(refusal)
                elif line.upper().startswith("EHLO"):
                    offers = ["STARTTLS"] if tls is not None and not self.safe else []
                    offers += ["AUTH PLAIN"] if login else []
                    self.say("250-test")
                    for offer in offers:
                        self.say(f"250-{offer}")
                    self.say("250 HELP")
                elif line.upper() == "STARTTLS":
                    self.say("220 go on")
                    self.secure()
                    self.safe = True
                    return self.again()
                elif line.upper().startswith("AUTH PLAIN"):
                    seen.logins.append(base64.b64decode(line.split()[2]).decode())
                    self.say("235 welcome")
                elif line.upper() == "DATA":
                    self.say("354 go on")
                    body = b"".join(iter(self.rfile.readline, b".\r\n"))
                    if "BODY" in seen.refuses:
                        self.say(seen.refuses["BODY"])
                        continue
                    seen.mails.append(message_from_bytes(body, policy=policy.default))  # type: ignore[arg-type]
                    seen.encrypted.append(self.safe)
                    self.say("250 taken")
                elif line.upper() == "QUIT":
                    self.say("221 bye")
                    return None
                else:
                    self.say("250 ok")
            return None

        def again(self) -> None:
            """After STARTTLS everything begins anew, without a greeting."""
            say, self.say = self.say, lambda _line: setattr(self, "say", say)  # type: ignore[method-assign]
            self.talk()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    seen = MailServer(refuses=dict(refuses or {}))
    with Server(("127.0.0.1", 0), Handler) as server:
        seen.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield seen
        finally:
            server.shutdown()


def make_certificate(folder: Path, name: str = "localhost") -> Path:
    """A certificate of our own with its key, in one PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


def server_side(pem: Path) -> ssl.SSLContext:
    """A server's TLS with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
