"""JetStream streams in the accounts of organizations."""

import msgspec

from artcafe_common.bus.command import Command, Empty
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.accounts import AccountMissing


class SubjectOverlap(CommandError):
    """Another stream of the organization stores messages of the same subjects."""

    status = 409
    code = "subject_overlap"
    title = "Another stream stores some of the same messages"
    remedy = (
        "Choose a pattern that does not overlap with channels, other subject records or streams of your own."
    )


class StreamRefused(CommandError):
    """The broker rejected the configuration of the stream; `detail` is its reason."""

    status = 409
    code = "stream_refused"
    title = "The broker rejected the stream"
    remedy = "Lower the retention limits, or delete streams that you do not need."


class EnsureStream(Command[Empty], frozen=True, kw_only=True):
    """Create a tenant's stream or update it; a stream of a higher `version` stays unchanged.

    A stream that an earlier release created in the account of the tenant's clients is moved, with its messages.

    A limit of None is no limit.
    """

    subject = "artcafe.identity.stream.ensure"
    callers = ("tenancy",)
    raises = (AccountMissing, SubjectOverlap, StreamRefused)
    idempotent = True
    tenant_id: str
    stream: str
    version: int
    subjects: list[str]
    max_bytes: int
    max_age_s: int | None = None
    max_messages: int | None = None
    max_messages_per_subject: int | None = None


class FinishStreamMove(Command[Empty], frozen=True, kw_only=True):
    """Record that the clients' account of a tenant has none of the platform's streams, and move its clients' own.

    Their streams are moved to an account without clients, where those of new tenants are. One that the broker rejects
    is StreamRefused, and those that were not moved then stay. A move that takes longer than the call is continued.
    """

    subject = "artcafe.identity.stream.finish_move"
    callers = ("tenancy",)
    raises = (AccountMissing, StreamRefused)
    idempotent = True
    deadline_s = 20.0
    tenant_id: str


class RemoveStream(Command[Empty], frozen=True, kw_only=True):
    """Delete a tenant's stream with its messages, if it exists."""

    subject = "artcafe.identity.stream.remove"
    callers = ("tenancy",)
    raises = (AccountMissing,)
    idempotent = True
    tenant_id: str
    stream: str


class PurgedStream(msgspec.Struct, frozen=True, kw_only=True):
    """The sequence number of the last message that was deleted; 0 if there was none."""

    last_seq: int = 0


class PurgeStream(Command[PurgedStream], frozen=True, kw_only=True):
    """Delete the messages of one subject from a tenant's stream, if it exists."""

    subject = "artcafe.identity.stream.purge"
    callers = ("tenancy",)
    raises = (AccountMissing,)
    idempotent = True
    tenant_id: str
    stream: str
    subject_filter: str
