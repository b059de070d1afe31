"""Pure rules of subjects: what is well formed, what is one name, what a pattern covers.

A tenant's names are spelt `x`, `{tid}.x` or `tenant.{tid}.x`; these are one name. Channels are
`tenant.{tid}.channel.{id}` and nothing else; `agents.{tid}.x` and `channels.{tid}.x` are taken
as they are.
"""

import re
from enum import StrEnum

import msgspec

from artcafe_common.bus.errors import CommandError

MAX_SUBJECT_BYTES = 255
# The wildcard for all that follows.
FULL_WILDCARD = ">"
# `tenant.{tenant_id}.presence.{client_id}` is published by the platform alone.
PRESENCE = "presence"
# A tenant's stream that keeps what its channels carry, and where the gateway hears what was kept:
# each message again with its place in the stream, and that one which it published was kept.
# Not an inbox: a message that only asks to be kept asks nobody for an answer.
HISTORY_STREAM = "CHANNELS"
REPUBLISH_PREFIX = "_REPUBLISH"
# The shape of our ids (ULID, Crockford's base32): how another tenant's name is known as such.
ULID_PATTERN = re.compile(r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")
_BAD_CHARACTERS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_LEGACY_ROOTS = ("agents", "channels")
HEARTBEAT_ROOTS = ("_heartbeat", "_HEARTBEAT", "_PRESENCE", "_METRICS")


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


class SubjectForm(StrEnum):
    """How a name was written; deliveries are written back in the same way."""

    BARE = "bare"
    SHORT = "short"
    FULL = "full"
    AS_IS = "as_is"


class ResolvedSubject(msgspec.Struct, frozen=True, kw_only=True):
    """A resolved subject or pattern of one tenant.

    `original` is the subject as the caller wrote it, `form` how it was written;
    `channel` is set when the name is a channel's.
    """

    original: str
    form: SubjectForm
    publish_subject: str
    subscribe_subjects: tuple[str, ...]
    channel: str | None = None


def validate(subject: str, *, wildcards: bool) -> list[str]:
    """The tokens of a well-formed subject; BadSubject otherwise."""
    if not subject or _BAD_CHARACTERS.search(subject):
        raise BadSubject("a subject has no empty text, white space or control characters")
    try:
        size = len(subject.encode())
    except UnicodeEncodeError:
        raise BadSubject("a subject is valid Unicode") from None
    if size > MAX_SUBJECT_BYTES:
        raise BadSubject(f"a subject has at most {MAX_SUBJECT_BYTES} bytes")
    tokens = subject.split(".")
    for position, token in enumerate(tokens):
        if not token:
            raise BadSubject("a subject has no empty token")
        whole = token in ("*", ">")
        if ("*" in token or ">" in token) and not (whole and wildcards):
            raise BadSubject("a wildcard is a whole token, and only where a pattern is taken")
        if token == FULL_WILDCARD and position != len(tokens) - 1:
            raise BadSubject("`>` stands last")
    return tokens


def channel_subject(tenant_id: str, channel_id: str) -> str:
    """The one subject of a channel."""
    return f"tenant.{tenant_id}.channel.{channel_id}"


def resolve_channel(tenant_id: str, channel: str, *, wildcards: bool = False) -> ResolvedSubject:
    """The name of a channel given by its id; BadSubject when it is not one token."""
    if "." in channel:
        raise BadSubject("a channel is a single token")
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
    """What a subject means for a tenant; ForbiddenSubject when it names another one."""
    tokens = validate(text, wildcards=wildcards)
    head, rest = tokens[0], tokens[1:]
    if head == "tenant":
        if not rest or rest[0] != tenant_id:
            raise ForbiddenSubject
        return _full(tenant_id, text, rest[1:], wildcards=wildcards)
    if head in _LEGACY_ROOTS and rest and _is_tenant_like(rest[0], tenant_id):
        if rest[0] != tenant_id:
            raise ForbiddenSubject
        return ResolvedSubject(
            original=text, form=SubjectForm.AS_IS, publish_subject=text, subscribe_subjects=(text,)
        )
    if head.startswith(("$", "_")):
        if head == "_INBOX" and not wildcards and len(tokens) > 1:
            return ResolvedSubject(
                original=text, form=SubjectForm.AS_IS, publish_subject=text, subscribe_subjects=()
            )
        raise ForbiddenSubject
    if head == tenant_id:
        return _shared(tenant_id, text, SubjectForm.SHORT, rest, wildcards=wildcards)
    if ULID_PATTERN.match(head):
        raise ForbiddenSubject
    return _shared(tenant_id, text, SubjectForm.BARE, tokens, wildcards=wildcards)


def _full(tenant_id: str, text: str, tail: list[str], *, wildcards: bool) -> ResolvedSubject:
    if tail and tail[0] == "channel":
        channel = tail[1] if len(tail) == 2 and tail[1] not in ("*", ">") else None  # noqa: PLR2004 - channel.{id}
        return ResolvedSubject(
            original=text,
            form=SubjectForm.FULL,
            publish_subject=text,
            subscribe_subjects=(text,),
            channel=channel,
        )
    return _shared(tenant_id, text, SubjectForm.FULL, tail, wildcards=wildcards)


def _shared(
    tenant_id: str, text: str, form: SubjectForm, tail: list[str], *, wildcards: bool
) -> ResolvedSubject:
    if not tail:
        raise BadSubject("a subject has a name behind the tenant")
    name = ".".join(tail)
    short = f"{tenant_id}.{name}"
    full = f"tenant.{short}"
    if tail[0] == PRESENCE:
        # The platform's own word, and heard only where nobody else can speak.
        if not wildcards:
            raise ForbiddenSubject
        return ResolvedSubject(original=text, form=form, publish_subject=full, subscribe_subjects=(full,))
    if tail[0] == "channel":
        # Channels keep their one spelling: this name is another one.
        return ResolvedSubject(original=text, form=form, publish_subject=short, subscribe_subjects=(short,))
    return ResolvedSubject(original=text, form=form, publish_subject=short, subscribe_subjects=(short, full))


def _is_tenant_like(token: str, tenant_id: str) -> bool:
    return token == tenant_id or bool(ULID_PATTERN.match(token))


def channel_of(tenant_id: str, subject: str) -> str | None:
    """The channel whose message travels on `subject`, or None."""
    prefix = f"tenant.{tenant_id}.channel."
    return subject.removeprefix(prefix) if subject.startswith(prefix) else None


def to_form(tenant_id: str, subject: str, form: SubjectForm) -> str:
    """A real subject in the subscriber's spelling; channels and old habits stay as they are."""
    if form is SubjectForm.AS_IS or channel_of(tenant_id, subject) is not None:
        return subject
    name = subject.removeprefix("tenant.").removeprefix(f"{tenant_id}.")
    if form is SubjectForm.BARE:
        return name
    return f"{tenant_id}.{name}" if form is SubjectForm.SHORT else f"tenant.{tenant_id}.{name}"


def matches(pattern: str, subject: str) -> bool:
    """Whether a pattern takes a subject, by the rules of NATS."""
    return covers(pattern, subject)


def covers(pattern: str, other: str) -> bool:
    """Whether every subject that `other` (a subject or a pattern) takes is taken by `pattern`."""
    wanted, given = pattern.split("."), other.split(".")
    for position, token in enumerate(wanted):
        if token == FULL_WILDCARD:
            return len(given) > position
        if position >= len(given) or given[position] == FULL_WILDCARD:
            return False
        if token not in ("*", given[position]):
            return False
    return len(wanted) == len(given)


def overlaps(one: str, other: str) -> bool:
    """Whether some subject is taken by both patterns."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(left) == len(right)


def permission_patterns(tenant_id: str, pattern: str) -> tuple[str, ...]:
    """The NATS subjects that a client's permission pattern stands for, in its tenant's account.

    `>` is everything of the account; any other pattern is a name, in all of its spellings. One that
    begins with a wildcard has no bare spelling: there the wildcard would stand for the tenant too,
    and for what the platform keeps to itself.
    """
    if pattern == ">":
        return (">",)
    name = resolve(tenant_id, pattern, wildcards=True)
    if name.channel is not None or name.form is SubjectForm.AS_IS or ".channel." in pattern:
        return name.subscribe_subjects
    if name.publish_subject.startswith("tenant."):
        return name.subscribe_subjects
    bare = name.publish_subject.removeprefix(f"{tenant_id}.")
    return (
        name.subscribe_subjects if bare.startswith(("*", FULL_WILDCARD)) else (*name.subscribe_subjects, bare)
    )


def permitted(tenant_id: str, patterns: list[str], subjects: tuple[str, ...]) -> bool:
    """Whether permission patterns allow every one of `subjects` (subjects or patterns)."""
    allowed = [raw for pattern in patterns for raw in permission_patterns(tenant_id, pattern)]
    return all(any(covers(raw, subject) for raw in allowed) for subject in subjects)
