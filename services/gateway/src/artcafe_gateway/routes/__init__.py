"""The REST and WebSocket routes; a REST route calls a service over the bus and returns its reply."""
