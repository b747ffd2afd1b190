"""``python -m attrition_platform.cli`` is the `attrition` command."""

from attrition_platform.cli import main

main()
