"""The plans and their limits."""

from enum import StrEnum

import msgspec

# Added to a tenant's connection limit at the broker, for the platform's own connections (one for each gateway
# process). The plan's number itself is enforced at login and by presence; this bounds a flood of connections of users
# that the organization issued itself, until presence has ended them, and is so large that they leave places.
BRIDGE_ALLOWANCE = 256
_GB = 1024**3


class Plan(StrEnum):
    """The available plans."""

    FREE = "free"
    BASIC = "basic"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a plan; None is no limit. `clients` includes agents.

    `own_…` are the JetStream streams that clients with `streams: manage` create: their number, the consumers of each,
    and their storage. The numbers are finite on every plan, because calls that create streams or consumers delay the
    calls of all organizations. The free plan, which anybody can have, has none.
    """

    clients: int | None
    channels: int | None
    messages_per_month: int | None
    connections: int | None
    api_calls_per_minute: int | None
    storage_bytes: int | None
    own_streams: int
    own_stream_consumers: int
    own_storage_bytes: int | None


LIMITS: dict[Plan, Limits] = {
    Plan.FREE: Limits(
        clients=3,
        channels=10,
        messages_per_month=10_000,
        connections=5,
        api_calls_per_minute=100,
        storage_bytes=1 * _GB,
        own_streams=0,
        own_stream_consumers=0,
        own_storage_bytes=0,
    ),
    Plan.BASIC: Limits(
        clients=10,
        channels=100,
        messages_per_month=100_000,
        connections=20,
        api_calls_per_minute=500,
        storage_bytes=10 * _GB,
        own_streams=10,
        own_stream_consumers=50,
        own_storage_bytes=1 * _GB,
    ),
    Plan.PRO: Limits(
        clients=50,
        channels=500,
        messages_per_month=500_000,
        connections=100,
        api_calls_per_minute=2_000,
        storage_bytes=50 * _GB,
        own_streams=50,
        own_stream_consumers=100,
        own_storage_bytes=5 * _GB,
    ),
    Plan.ENTERPRISE: Limits(
        clients=None,
        channels=None,
        messages_per_month=None,
        connections=None,
        api_calls_per_minute=None,
        storage_bytes=None,
        own_streams=200,
        own_stream_consumers=200,
        own_storage_bytes=None,
    ),
}
