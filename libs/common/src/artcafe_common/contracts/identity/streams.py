"""JetStream streams in organizations' accounts."""

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
    """Make a tenant's stream, or bring it up to date; one of a higher `version` is left as it is.

    `max_age_s` in seconds; None is no limit. What is kept is published again on its subject behind
    `republish_prefix`, if that is given, with its sequence number in a header.
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
    republish_prefix: str | None = None


class RemoveStream(Command[Empty], frozen=True, kw_only=True):
    """Delete a tenant's stream with all that is in it; one that is not there is fine."""

    subject = "artcafe.identity.stream.remove"
    callers = ("tenancy",)
    raises = (AccountMissing,)
    idempotent = True
    tenant_id: str
    stream: str


class PurgeStream(Command[Empty], frozen=True, kw_only=True):
    """Delete what a tenant's stream holds of one subject; a stream that is not there holds nothing."""

    subject = "artcafe.identity.stream.purge"
    callers = ("tenancy",)
    raises = (AccountMissing,)
    idempotent = True
    tenant_id: str
    stream: str
    subject_filter: str
