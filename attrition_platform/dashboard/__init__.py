"""Three views of the platform as local pages, its metrics for Prometheus, and reports on demand."""
