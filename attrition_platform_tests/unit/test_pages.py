"""The pages' files as a browser gets them: from the package, with safe types, open, and self-contained."""

from __future__ import annotations

import asyncio
import re
import tomllib
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from attrition_platform.serving.pages import PAGES, add_pages, static_files
from attrition_platform_tests.conftest import CHECKOUT

STATIC = static_files()
SCRIPTS = {name: content.decode() for name, content in STATIC.items() if name.endswith(".js")}


def get(*paths: str) -> list[httpx.Response]:
    """Ask an application that has nothing but the pages."""
    api = FastAPI(docs_url=None, redoc_url=None)
    add_pages(api)

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(api)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(run())


class Elements(HTMLParser):
    """All elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_pages_and_every_file_are_served_with_their_type() -> None:
    for path, name in PAGES.items():
        (answer,) = get(path)
        assert (answer.status_code, answer.content) == (200, STATIC[name])
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
    (script, style, icon) = get("/static/app.js", "/static/style.css", "/static/icon.svg")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert icon.headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/../pages.py",
        "/static/%2e%2e/pages.py",
        "/static/..%2fpages.py",
        "/static/nothing.js",
    ],
)
def test_nothing_but_these_files_is_served(path: str) -> None:
    (answer,) = get(path)

    assert answer.status_code == 404


def test_the_pages_are_not_part_of_the_interface() -> None:
    api = FastAPI(docs_url=None, redoc_url=None)
    add_pages(api)

    assert api.openapi()["paths"] == {}


@pytest.mark.parametrize("name", sorted(PAGES.values()))
def test_a_page_has_nothing_that_the_content_security_policy_would_stop(name: str) -> None:
    for tag, attributes in Elements(STATIC[name].decode()).found:
        assert tag != "style", "styles are in style.css"
        assert "style" not in attributes
        assert not [key for key in attributes if key.startswith("on")]
        if tag == "script":
            assert attributes.get("src"), "no inline script"
        for key in ("src", "href"):
            assert not re.match(r"([a-z]+:)?//|data:|javascript:", attributes.get(key) or ""), attributes


@pytest.mark.parametrize("name", sorted(PAGES.values()))
def test_a_page_has_one_heading_landmarks_a_language_and_a_skip_link(name: str) -> None:
    elements = Elements(STATIC[name].decode()).found
    tags = [tag for tag, _ in elements]

    assert tags.count("h1") == tags.count("main") == tags.count("header") == tags.count("footer") == 1
    assert ("html", {"lang": "en"}) in elements
    assert next(attributes["href"] for tag, attributes in elements if tag == "a") == "#main"


def test_every_file_that_a_page_or_module_names_exists() -> None:
    named: set[str] = set()
    for page in PAGES.values():
        for tag, attributes in Elements(STATIC[page].decode()).found:
            link: Any = attributes.get("src") or (attributes.get("href") if tag == "link" else None)
            if link:
                named.add(link.removeprefix("static/"))
    for script in SCRIPTS.values():
        named.update(re.findall(r'from "\./([^"]+)"', script))

    assert named - STATIC.keys() == set()
    assert STATIC.keys() - named - set(PAGES.values()) == set(), "a file that nobody asks for"


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_takes_no_text_for_markup_and_keeps_nothing_in_the_browser(name: str) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser"
    stores = r"localStorage|sessionStorage|indexedDB|document\.cookie|caches\b|serviceWorker"

    assert not re.search(forbidden, SCRIPTS[name])
    assert not re.search(stores, SCRIPTS[name])
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", SCRIPTS[name]), "no other host"


def test_the_style_sheet_loads_nothing() -> None:
    assert not re.search(rb"@import|url\(|@font-face", STATIC["style.css"])


def test_the_files_are_part_of_the_package() -> None:
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        packed = tomllib.load(file)["tool"]["setuptools"]["package-data"]["attrition_platform"]

    for name in STATIC:
        assert f"**/*.{name.rsplit('.', 1)[1]}" in packed
