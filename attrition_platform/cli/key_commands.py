"""`attrition keys`: make, list and revoke the API keys of the service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import click

from attrition_platform.cli.show import show_json, show_table

if TYPE_CHECKING:
    from attrition_platform.adapters.api_keys import ApiKeys, Role

API_KEYS_FILE = "api_keys.json"
# Not imported from the adapter, so that `--help` stays quick; a test compares the two.
_ROLES = ("predict", "explain", "operate")


def _keys() -> ApiKeys:
    from attrition_platform.adapters.api_keys import ApiKeys
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    platform = Platform(Settings.from_environment())
    return ApiKeys(platform.settings.data_dir / API_KEYS_FILE, platform.key)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys of the service.

    As soon as there is one key, the service answers nobody without a key.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--role",
    "roles",
    type=click.Choice(_ROLES),
    multiple=True,
    required=True,
    help="What the holder may ask for; give it several times for several roles.",
)
def add(name: str, roles: tuple[str, ...]) -> None:
    """Make a key and print it: the only time that it can be read.

    Standard output holds the key alone, so that KEY=$(attrition keys add NAME --role predict) works.
    """
    store = _keys()
    first = not store.any()
    key = store.add(name, [cast("Role", role) for role in dict.fromkeys(roles)], _now())
    click.echo(f"Key '{name}' ({', '.join(dict.fromkeys(roles))}); it can't be shown again:", err=True)
    click.echo(key)
    click.echo('Send it with each request: curl -H "Authorization: Bearer KEY" …', err=True)
    if first:
        click.echo("This is the first key: from now on every caller of the service needs one.", err=True)


@keys.command(name="list", short_help="List every key that was ever made.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_keys(as_json: bool) -> None:
    """List every key that was ever made: name, roles, when made and revoked. Never the key."""
    listed = _keys().list()
    if as_json:
        fields = [
            {"name": k.name, "roles": sorted(k.roles), "created": k.created, "revoked": k.revoked}
            for k in listed
        ]
        show_json({"keys": fields})
        return
    if not listed:
        click.echo("There is no key. Programs of this machine may predict and explain without one.")
        return
    rows = [[k.name, ", ".join(sorted(k.roles)), k.created, k.revoked] for k in listed]
    show_table(["name", "roles", "created", "revoked"], rows)


@keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Stop a key; a running service refuses it within a second. Its name stays taken."""
    store = _keys()
    revoked = store.revoke(name, _now())
    click.echo(f"Key '{revoked.name}' is revoked since {revoked.revoked}.")
    if all(key.revoked for key in store.list()):
        click.echo(
            "No key is left, and the service still asks for one: make another with `attrition keys add`.",
            err=True,
        )
