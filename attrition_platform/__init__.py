"""Trains, proves, releases, watches and replaces an employee-attrition model, as Dagster assets."""

__version__ = "0.1.0"
