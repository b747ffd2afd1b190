"""`attrition dashboard`: the platform as local pages, its metrics, and Evidently's reports on demand."""

from __future__ import annotations

from pathlib import Path

import click

from attrition_platform.errors import SettingsError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=3001, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on."
)
@click.option(
    "--allow-host", "names", multiple=True, help="Name under which a proxy passes requests on; repeatable."
)
def dashboard(host: str, port: int, names: tuple[str, ...]) -> None:
    """Show the platform as local pages (Ctrl-C ends it).

    / at a glance, /on-call, /debug, /metrics for Prometheus, /reports/WINDOW. The pages have no log-in and
    change nothing: put a proxy with TLS and a password in front of them before others can reach them.
    """
    from attrition_platform.adapters.loopback import is_loopback
    from attrition_platform.cli.listening import log_warnings, refuse_taken_port, serve_until_ctrl_c
    from attrition_platform.cli.run_commands import checkout, dagster_home
    from attrition_platform.dashboard.app import build_app
    from attrition_platform.defs.past_runs import history_of
    from attrition_platform.serving.http_guard import ConnectionLimits, guarded
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    if not is_loopback(host) and not names:
        raise SettingsError(
            f"Listening on {host} lets everybody who reaches it read the pages, which have no log-in. Leave "
            "--host out; or put a proxy with a password in front and name it with --allow-host NAME."
        )
    log_warnings()
    platform = Platform(Settings.from_environment())
    refuse_taken_port(host, port)
    app = build_app(
        platform,
        history_of(dagster_home()),
        read_runbooks(checkout() / "docs" / "runbooks"),
        allowed_hosts=frozenset(name.lower().encode() for name in names),
    )
    serve_until_ctrl_c(
        app,
        host,
        port,
        "Dashboard ",
        http=guarded(ConnectionLimits(max_connections=200, max_request_bytes=1 << 20)),
        timeout_graceful_shutdown=5,
    )


def read_runbooks(folder: Path) -> dict[str, str]:
    """Each runbook by its name; none where the folder is not there."""
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.md"))}
