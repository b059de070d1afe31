"""HTTP requests and responses: parsing, authentication, rate limits, idempotency, problem documents."""
