"""How fast it is, beside the broker itself; see docs/internals/performance.md."""
