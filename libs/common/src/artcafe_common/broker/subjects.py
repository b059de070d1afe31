"""The rules of subjects: syntax, the equivalent forms of a tenant's subject, and pattern matching.

The forms `x`, `{tid}.x` and `tenant.{tid}.x` of a subject are equivalent. A channel has only the form
`tenant.{tid}.channel.{id}`. `agents.{tid}.x` and `channels.{tid}.x` (legacy) are used unchanged.
"""

import re
from datetime import datetime
from enum import StrEnum

import msgspec

from artcafe_common.bus.errors import CommandError

MAX_SUBJECT_BYTES = 255
# The wildcard for one or more tokens at the end of a pattern.
FULL_WILDCARD = ">"
# Only the platform publishes on `tenant.{tenant_id}.presence.{client_id}`.
PRESENCE = "presence"
# The prefix of clients' reply subjects, and that of the platform's, to which no client may subscribe.
INBOX_PREFIX = "_INBOX"
PRIVATE_INBOX_PREFIX = "_GW"
# The stream in the streams' account of a tenant that stores channel messages, and the prefix of the subjects on which
# a gateway receives its acknowledgements. They are no inboxes, because a publish with an inbox as its reply subject
# looks like a request to subscribers.
HISTORY_STREAM = "CHANNELS"
ACK_PREFIX = "_ACK"
# A ULID (Crockford's base32), the form of ids; it identifies subjects of other tenants.
ULID_PATTERN = re.compile(r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")
_BAD_CHARACTERS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_LEGACY_ROOTS = ("agents", "channels")


class BadSubject(CommandError):
    """The subject has an empty token, white space, a control character, more than 255 bytes or a misplaced wildcard."""

    status = 400
    code = "bad_subject"
    title = "The subject is malformed"
    remedy = "Separate tokens by dots. Use `*` and `>` only as whole tokens in subscriptions, and `>` only as the last one."


class ForbiddenSubject(CommandError):
    """The subject belongs to another organization or to the platform, or the client's permissions do not include it."""

    status = 403
    code = "forbidden_subject"
    title = "The subject is not allowed"
    remedy = "Use a subject of your own organization, or change the client's permissions."


class BadQueue(CommandError):
    """The name of the queue group has an empty token, white space, a control character, a wildcard or over 255 bytes."""

    status = 400
    code = "bad_queue"
    title = "The name of the queue group is malformed"
    remedy = "Use a name like a subject without wildcards, for example `workers` or `orders.workers`."


class SubjectForm(StrEnum):
    """The form of a subject in a request; messages are delivered with subjects of the same form."""

    BARE = "bare"
    SHORT = "short"
    FULL = "full"
    AS_IS = "as_is"


class ResolvedSubject(msgspec.Struct, frozen=True, kw_only=True):
    """A subject or pattern of a tenant, resolved to NATS subjects.

    `original` is the subject as the caller wrote it, in the form `form`. The gateway publishes on `publish_subject`
    and subscribes to `subscribe_subjects`. `channel` is the id of the channel that the subject belongs to;
    `has_history` if the channel is known to store its messages, and `created_at` is when it was created. Its messages
    up to `purged_seq` were deleted at `purged_at`.
    """

    original: str
    form: SubjectForm
    publish_subject: str
    subscribe_subjects: tuple[str, ...]
    channel: str | None = None
    has_history: bool = False
    created_at: datetime | None = None
    purged_seq: int = 0
    purged_at: datetime | None = None


def validate(subject: str, *, wildcards: bool) -> list[str]:
    """The tokens of a subject. Raises BadSubject if it is malformed."""
    if not subject or _BAD_CHARACTERS.search(subject):
        raise BadSubject("a subject must not be empty or contain white space or control characters")
    try:
        size = len(subject.encode())
    except UnicodeEncodeError:
        raise BadSubject("a subject must be valid Unicode") from None
    if size > MAX_SUBJECT_BYTES:
        raise BadSubject(f"a subject must not exceed {MAX_SUBJECT_BYTES} bytes")
    tokens = subject.split(".")
    for position, token in enumerate(tokens):
        if not token:
            raise BadSubject("a subject must not contain an empty token")
        is_wildcard = token in ("*", ">")
        if ("*" in token or ">" in token) and not (is_wildcard and wildcards):
            raise BadSubject("a wildcard must be a whole token, and is allowed in patterns only")
        if token == FULL_WILDCARD and position != len(tokens) - 1:
            raise BadSubject("`>` must be the last token")
    return tokens


def validate_queue(queue: str) -> None:
    """Raise BadQueue unless the name of a queue group has the form of a subject without wildcards."""
    try:
        validate(queue, wildcards=False)
    except BadSubject as error:
        raise BadQueue(f"a queue group is named like a subject without wildcards: {error.detail}") from None


def channel_subject(tenant_id: str, channel_id: str) -> str:
    """The subject of a channel."""
    return f"tenant.{tenant_id}.channel.{channel_id}"


def resolve_channel(tenant_id: str, channel: str, *, wildcards: bool = False) -> ResolvedSubject:
    """Resolve a channel's id. Raises BadSubject if it is not a single token."""
    if "." in channel:
        raise BadSubject("a channel must be a single token")
    validate(channel, wildcards=wildcards)
    subject = channel_subject(tenant_id, channel)
    return ResolvedSubject(
        original=channel,
        form=SubjectForm.FULL,
        publish_subject=subject,
        subscribe_subjects=(subject,),
        channel=channel,
    )


def resolve(tenant_id: str, text: str, *, wildcards: bool) -> ResolvedSubject:
    """Resolve a subject or pattern of a tenant.

    Raises BadSubject if it is malformed, ForbiddenSubject if it belongs to another tenant or to the platform.
    """
    tokens = validate(text, wildcards=wildcards)
    head, rest = tokens[0], tokens[1:]
    if head == "tenant":
        if not rest or rest[0] != tenant_id:
            raise ForbiddenSubject
        return _resolve_full(tenant_id, text, rest[1:], wildcards=wildcards)
    if head in _LEGACY_ROOTS and rest and _is_tenant_like(rest[0], tenant_id):
        if rest[0] != tenant_id:
            raise ForbiddenSubject
        return ResolvedSubject(
            original=text, form=SubjectForm.AS_IS, publish_subject=text, subscribe_subjects=(text,)
        )
    if head.startswith(("$", "_")):
        if head == "_INBOX" and not wildcards and len(tokens) > 1:
            return as_is(text)
        raise ForbiddenSubject
    if head == tenant_id:
        return _resolve_equivalent(tenant_id, text, SubjectForm.SHORT, rest, wildcards=wildcards)
    if ULID_PATTERN.match(head):
        raise ForbiddenSubject
    return _resolve_equivalent(tenant_id, text, SubjectForm.BARE, tokens, wildcards=wildcards)


def as_is(subject: str) -> ResolvedSubject:
    """A subject that is published on as it is written."""
    return ResolvedSubject(
        original=subject, form=SubjectForm.AS_IS, publish_subject=subject, subscribe_subjects=()
    )


def _resolve_full(tenant_id: str, text: str, tail: list[str], *, wildcards: bool) -> ResolvedSubject:
    if tail and tail[0] == "channel":
        channel = tail[1] if len(tail) == 2 and tail[1] not in ("*", ">") else None  # noqa: PLR2004 - channel.{id}
        return ResolvedSubject(
            original=text,
            form=SubjectForm.FULL,
            publish_subject=text,
            subscribe_subjects=(text,),
            channel=channel,
        )
    return _resolve_equivalent(tenant_id, text, SubjectForm.FULL, tail, wildcards=wildcards)


def _resolve_equivalent(
    tenant_id: str, text: str, form: SubjectForm, tail: list[str], *, wildcards: bool
) -> ResolvedSubject:
    if not tail:
        raise BadSubject("a name must follow the tenant's id")
    if tail[0].startswith(("$", "_")):
        # Without the tenant's id the name would be a subject of the platform.
        raise ForbiddenSubject
    name = ".".join(tail)
    short = f"{tenant_id}.{name}"
    full = f"tenant.{short}"
    if tail[0] == PRESENCE:
        # Only the full form: clients cannot publish on it.
        if not wildcards:
            raise ForbiddenSubject
        return ResolvedSubject(original=text, form=form, publish_subject=full, subscribe_subjects=(full,))
    if tail[0] == "channel":
        # A channel has the full form only, so this is another subject.
        return ResolvedSubject(original=text, form=form, publish_subject=short, subscribe_subjects=(short,))
    return ResolvedSubject(original=text, form=form, publish_subject=short, subscribe_subjects=(short, full))


def _is_tenant_like(token: str, tenant_id: str) -> bool:
    return token == tenant_id or bool(ULID_PATTERN.match(token))


def channel_id_of(tenant_id: str, subject: str) -> str | None:
    """The id of the channel that `subject` belongs to, or None."""
    prefix = f"tenant.{tenant_id}.channel."
    return subject.removeprefix(prefix) if subject.startswith(prefix) else None


def to_form(tenant_id: str, subject: str, form: SubjectForm) -> str:
    """Convert a NATS subject to the form that a subscriber used; channels and legacy subjects stay unchanged."""
    if form is SubjectForm.AS_IS or channel_id_of(tenant_id, subject) is not None:
        return subject
    name = subject.removeprefix("tenant.").removeprefix(f"{tenant_id}.")
    if form is SubjectForm.BARE:
        return name
    return f"{tenant_id}.{name}" if form is SubjectForm.SHORT else f"tenant.{tenant_id}.{name}"


def matches(pattern: str, subject: str) -> bool:
    """Whether a pattern matches a subject, by the rules of NATS."""
    return covers(pattern, subject)


def covers(pattern: str, other: str) -> bool:
    """Whether `pattern` matches every subject that `other`, a subject or a pattern, matches."""
    tokens, other_tokens = pattern.split("."), other.split(".")
    for position, token in enumerate(tokens):
        if token == FULL_WILDCARD:
            return len(other_tokens) > position
        if position >= len(other_tokens) or other_tokens[position] == FULL_WILDCARD:
            return False
        if token not in ("*", other_tokens[position]):
            return False
    return len(tokens) == len(other_tokens)


def overlaps(one: str, other: str) -> bool:
    """Whether some subject matches both patterns."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(left) == len(right)
