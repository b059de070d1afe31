"""Reports to other services: usage, presence, activity; and metrics for Prometheus."""
