"""Requests that no client library would send."""

import pytest


@pytest.fixture
async def api(example):
    """An example organization; the gateway must still be healthy after the test."""
    yield example
    health = await example.tenant.http.get("/health")
    assert health.json()["status"] == "ok", health.text
