"""Pages in a real browser: what serves them, what they ask for and complain of, and who can use them."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from attrition_platform_tests.conftest import CHECKOUT
from attrition_platform_tests.load import free_port

AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Site:
    """An application that listens on a port of its own."""

    def __init__(self, app: Any) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.02)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@contextmanager
def answering(
    *command: str,
    environment: Mapping[str, str],
    log_file: Path,
    port_option: str = "--port",
    path: str = "/",
) -> Iterator[str]:
    """Run a command that serves; the address is given as soon as the path is answered there."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with (
        log_file.open("w") as log,
        subprocess.Popen(
            [*command, port_option, str(port)], cwd=CHECKOUT, env=dict(environment), stdout=log, stderr=log
        ) as server,
    ):
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(address + path, timeout=2).close()
                    break
                except OSError:
                    assert server.poll() is None, log_file.read_text()
                    assert time.monotonic() < deadline, log_file.read_text()
                    time.sleep(0.3)
            yield address
        finally:
            server.terminate()


class Watched:
    """A page that remembers what it asked for and what it complained about."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        options = {"viewport": {"width": 1200, "height": 900}, "reduced_motion": "reduce", **options}
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.address = address
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self.on_console)

    def on_console(self, message: Any) -> None:
        self.complaints.append(message.text)

    def open(self, path: str = "/") -> Any:
        self.page.goto(self.address + path)
        return self.page

    def is_its_own(self, url: str) -> bool:
        return url.startswith(f"{self.address}/")

    def assert_clean(self) -> None:
        assert [url for url in self.asked if not self.is_its_own(url)] == []
        assert self.complaints == []


def assert_accessible(page: Any) -> None:
    """Run axe-core, which comes with its Python package, so that nothing is loaded from elsewhere."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"runOnly": {"type": "tag", "values": AXE_TAGS}, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response
    told = [(v["id"], [node["target"] for node in v["nodes"]][:3]) for v in found["violations"]]
    assert told == []


def keep_picture(page: Any, name: str, selector: str | None = None, *, full_page: bool = True) -> None:
    """Keep a picture where a person asked for it: ATTRITION_SCREENSHOTS names a folder."""
    folder = os.environ.get("ATTRITION_SCREENSHOTS")
    if not folder:
        return
    clip = None
    if selector is not None:
        page.evaluate("window.scrollTo(0, 0)")
        box = page.locator(selector).bounding_box()
        clip = {"x": 0, "y": box["y"] - 20, "width": 1200, "height": min(box["height"] + 40, 1100)}
    page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=full_page, clip=clip)
