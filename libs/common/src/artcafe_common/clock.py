"""Time, in one form everywhere: aware UTC datetimes, written in RFC 3339."""

from datetime import UTC, datetime

from ulid import ULID


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A new ULID: sorts by time, cannot be guessed."""
    return str(ULID())
