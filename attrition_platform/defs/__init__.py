"""The Dagster side: assets, checks, jobs, schedules and resources."""
