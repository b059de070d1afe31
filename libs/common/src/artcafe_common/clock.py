"""The current time as an aware UTC datetime, and ids that sort by time."""

from datetime import UTC, datetime

from ulid import ULID


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A new ULID, which sorts by time and cannot be guessed."""
    return str(ULID())
