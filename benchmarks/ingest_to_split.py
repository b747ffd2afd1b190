"""Ingest, validate, features and splits of what lies in the inbox; measured by `ingest_scale`."""

from __future__ import annotations

import click

from attrition_platform.settings import Settings
from attrition_platform.stages import features, ingest, splits
from attrition_platform.stages.platform import Platform


def main() -> None:
    """Do it once."""
    platform = Platform(Settings.from_environment())
    validated, _ = ingest.validate(platform, ingest.take_in(platform, click.echo), click.echo)
    groups = {name: features.compute_features(platform, validated, name) for name in platform.contract.groups}
    splits.split(platform, validated, groups)


if __name__ == "__main__":
    main()
