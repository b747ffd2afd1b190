"""Verdicts on what is running: the canary."""
