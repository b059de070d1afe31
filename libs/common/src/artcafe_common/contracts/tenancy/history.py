"""The streams that store the history of organizations' channels."""

import msgspec

from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import InvalidCursor
from artcafe_common.contracts.identity.streams import EnsureStream
from artcafe_common.contracts.tenancy.fields import CursorText, Limit

# A channel keeps this many messages; the oldest are removed.
MESSAGES_PER_CHANNEL = 10_000


class HistorySyncResult(msgspec.Struct, frozen=True, kw_only=True):
    """The number of streams that match their records now, and the tenants whose stream the broker rejected."""

    synced: int
    rejected: list[str]
    next_cursor: str | None


class WantedStreams(msgspec.Struct, frozen=True, kw_only=True):
    """The platform's streams of a tenant, as its records say; those that are being changed are left out."""

    streams: list[EnsureStream]


class ListWantedStreams(Query[WantedStreams], frozen=True, kw_only=True):
    """List what the streams of the caller's tenant should be."""

    subject = "artcafe.tenancy.history.list_wanted"
    callers = ("identity",)


class SyncHistoryStreams(Command[HistorySyncResult], frozen=True, kw_only=True):
    """Update the history streams of a page of tenants to the configuration of this release.

    An operator's command, not a route. `limit` counts tenants, `cursor` is the `next_cursor` of the previous page.
    """

    subject = "artcafe.tenancy.history.sync"
    callers = ("admin",)
    raises = (InvalidCursor,)
    idempotent = True
    deadline_s = 30.0
    limit: Limit = 50
    cursor: CursorText | None = None
