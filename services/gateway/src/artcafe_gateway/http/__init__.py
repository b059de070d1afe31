"""HTTP: reading requests, authenticating callers, rendering problems, idempotency."""
