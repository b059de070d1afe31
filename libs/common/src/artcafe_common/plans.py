"""The plans and their limits."""

from enum import StrEnum

import msgspec

# Added to a tenant's connection limit at the broker: each gateway process has one connection per tenant.
BRIDGE_ALLOWANCE = 32
_GB = 1024**3


class Plan(StrEnum):
    """The available plans."""

    FREE = "free"
    BASIC = "basic"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a plan; None is no limit. `clients` includes agents."""

    clients: int | None
    channels: int | None
    messages_per_month: int | None
    connections: int | None
    api_calls_per_minute: int | None
    storage_bytes: int | None


LIMITS: dict[Plan, Limits] = {
    Plan.FREE: Limits(
        clients=3,
        channels=10,
        messages_per_month=10_000,
        connections=5,
        api_calls_per_minute=100,
        storage_bytes=1 * _GB,
    ),
    Plan.BASIC: Limits(
        clients=10,
        channels=100,
        messages_per_month=100_000,
        connections=20,
        api_calls_per_minute=500,
        storage_bytes=10 * _GB,
    ),
    Plan.PRO: Limits(
        clients=50,
        channels=500,
        messages_per_month=500_000,
        connections=100,
        api_calls_per_minute=2_000,
        storage_bytes=50 * _GB,
    ),
    Plan.ENTERPRISE: Limits(
        clients=None,
        channels=None,
        messages_per_month=None,
        connections=None,
        api_calls_per_minute=None,
        storage_bytes=None,
    ),
}
