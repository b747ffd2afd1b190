"""The pages as HTML: templates of this package, filled with an overview. Nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt

from attrition_platform.dashboard import formats, words

FRESH_SECONDS: Final = 30
METRICS: Final = {
    "accuracy": "Right answers",
    "recall": "Leavers that it finds",
    "precision": "Flags that are right",
    "roc_auc": "Ranking (ROC AUC)",
}
_RUNBOOK_LINK: Final = re.compile(r"([a-z-]+)\.md")
_WEB: Final = ("https://", "http://")


@dataclass(frozen=True)
class View:
    """One of the three views: its template's name, its address, and what it is called."""

    name: str
    path: str
    title: str


VIEWS: Final = (
    View("executive", "/", "At a glance"),
    View("on_call", "/on-call", "On call"),
    View("debug", "/debug", "Debug"),
)


class Pages:
    """Fills templates.

    Parameters
    ----------
    runbooks : mapping of str to str
        Markdown by name.
    """

    def __init__(self, runbooks: Mapping[str, str]) -> None:
        self._runbooks = dict(runbooks)
        self._environment = Environment(
            loader=PackageLoader("attrition_platform.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters = (formats.number, formats.percent, formats.interval, formats.when, formats.ago, formats.span)
        named = {f.__name__: f for f in (*filters, formats.amount, formats.words, _ranked)}
        self._environment.filters.update({name.lstrip("_"): f for name, f in named.items()})
        self._environment.globals.update(
            views=VIEWS, tones=words.TONES, metric_names=METRICS, fresh_seconds=FRESH_SECONDS
        )

    def view(self, name: str, found: Mapping[str, Any], *, keeps_fresh: bool = False) -> str:
        """One of `VIEWS`.

        Parameters
        ----------
        found : mapping
            As `overview` gives it.
        keeps_fresh : bool
            Whether the page loads itself anew; only where somebody asked for it, since a page that
            changes under a reader's eyes shuts out whoever reads slowly.
        """
        answers = {
            "model": words.about_model(found),
            "quality": words.about_quality(found),
            "drift_said": words.about_drift(found),
            "promises": words.about_promises(found),
        }
        return self._environment.get_template(f"{name}.html").render(
            found,
            answers=answers,
            overall=words.headline(*answers.values()),
            alerts_said=words.about_alerts(found),
            steps=words.next_steps(found),
            runbook_link=self.runbook_link,
            here=name,
            keeps_fresh=keeps_fresh,
        )

    def message(self, title: str, text: str) -> str:
        """A page that says one thing."""
        template = self._environment.get_template("message.html")
        return template.render(title=title, text=text, here=None, keeps_fresh=False)

    def runbook(self, name: str) -> str | None:
        """A runbook as a page; None where there is none of this name."""
        if name not in self._runbooks:
            return None
        template = self._environment.get_template("runbook.html")
        return template.render(title=name, body=_as_html(self._runbooks[name]), here=None, keeps_fresh=False)

    def runbook_link(self, address: str | None) -> str | None:
        """Where a runbook can be read, from its address in an alert or its bare name; None for nowhere."""
        if not address:
            return None
        if address.startswith(_WEB):
            return address
        name = PurePosixPath(address).name.removesuffix(".md")
        return f"/runbooks/{name}" if name in self._runbooks else None


def _ranked(columns: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Columns of a window, those that drifted first, then by score."""
    return sorted(
        columns.items(), key=lambda one: (one[1]["outcome"] != "drifted", -(one[1]["score"] or 0.0), one[0])
    )


def _as_html(markdown: str) -> str:
    """HTML of our own documents; markup in them is shown as text, and links lead to runbooks or the web."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                target = str(child.attrs.get("href", ""))
                sibling = _RUNBOOK_LINK.fullmatch(target)
                if sibling is not None:
                    child.attrs["href"] = f"/runbooks/{sibling[1]}"
                elif not target.startswith(_WEB):
                    del child.attrs["href"]
    return str(parser.renderer.render(tokens, parser.options, {}))
