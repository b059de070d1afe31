"""JetStream streams in organizations' accounts."""

from artcafe_common.bus.command import Command, Empty
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.accounts import AccountMissing


class SubjectOverlap(CommandError):
    """Something else of the organization keeps some of the same messages."""

    status = 409
    code = "subject_overlap"
    title = "Another one keeps some of the same messages"


class StreamRefused(CommandError):
    """The broker does not take a stream as it is wanted, whatever one tries; `detail` is its reason."""

    status = 409
    code = "stream_refused"
    title = "The broker does not take the stream"


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
