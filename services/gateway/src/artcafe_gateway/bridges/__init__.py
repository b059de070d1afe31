"""Bridges: one NATS connection per tenant, and the pool that opens and closes them."""
