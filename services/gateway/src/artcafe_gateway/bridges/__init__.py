"""Bridges: one NATS connection for each tenant, and the pool that holds them."""
