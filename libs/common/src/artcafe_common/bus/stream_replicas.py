"""How many replicas a stream of the platform is to have.

The metadata of a stream records what the platform set last. So a number that differs from it was set by an operator,
and stays until `ARTCAFE_STREAM_REPLICAS` changes.
"""

from collections.abc import Mapping

REPLICAS_METADATA_KEY = "artcafe_replicas"


def choose_replicas(actual: int, metadata: Mapping[str, str] | None, setting: int) -> int:
    """The number for a stream that has `actual` replicas."""
    recorded = (metadata or {}).get(REPLICAS_METADATA_KEY)
    if recorded is None:
        # Of an earlier release, which created streams with one: more were added by hand.
        return max(actual, setting)
    return actual if recorded == str(setting) else setting


def replicas_metadata(setting: int) -> dict[str, str]:
    """What a stream's metadata records."""
    return {REPLICAS_METADATA_KEY: str(setting)}
