"""Benchmarks of the whole system, with the broker as the reference; see docs/internals/performance.md."""
