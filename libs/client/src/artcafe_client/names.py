"""The spellings of subjects.

`x`, `{tenant_id}.x` and `tenant.{tenant_id}.x` are one name. Over NATS it is published on `{tenant_id}.x`, and subscribed
in both long spellings; over WebSocket the gateway does so. A channel is `tenant.{tenant_id}.channel.{channel_id}` only.
"""

import re
from typing import NamedTuple

from artcafe_client.error_codes import BadSubject, ForbiddenSubject

MAX_SUBJECT_BYTES = 255
_ID = re.compile(r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")
_BAD = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_OLDER_HABITS = ("agents", "channels")


class Name(NamedTuple):
    """A subject or pattern: what it is called without the organization, and the prefix with which it was written.

    `publish` and `subscribe` are the subjects of the broker; `channel` is set for a channel's own subject.
    """

    bare: str
    prefix: str
    publish: str
    subscribe: tuple[str, ...]
    channel: str | None = None


def is_channel_id(text: str) -> bool:
    """Whether this is a channel's id, and not its name."""
    return bool(_ID.match(text))


def channel_subject(tenant_id: str, channel_id: str) -> str:
    """The subject of a channel."""
    return f"tenant.{tenant_id}.channel.{channel_id}"


def resolve(tenant_id: str, text: str, *, wildcards: bool) -> Name:
    """Resolve a subject. BadSubject if it is malformed, ForbiddenSubject if it is not the organization's."""
    tokens = _validate(text, wildcards=wildcards)
    prefix, tail = _split(tenant_id, tokens)
    if prefix.startswith("tenant.") and tail[:1] == ["channel"]:
        is_one = tail[2:] == [] and not {"*", ">"} & {*tail[1:]}
        return Name(text, "", text, (text,), tail[1] if is_one and tail[1:] else None)
    if tokens[0] == "_INBOX" and not wildcards and len(tokens) > 1:
        return Name(text, "", text, (text,))
    if tokens[0] in _OLDER_HABITS and tokens[1:2] == [tenant_id]:
        return Name(text, "", text, (text,))
    if not tail:
        raise BadSubject("a name must follow the organization's id")
    if tail[0].startswith(("$", "_")) or is_channel_id(tail[0]):
        raise ForbiddenSubject
    bare = ".".join(tail)
    short, full = f"{tenant_id}.{bare}", f"tenant.{tenant_id}.{bare}"
    if tail[0] == "presence":
        if not wildcards:
            raise ForbiddenSubject
        return Name(bare, prefix, full, (full,))
    return Name(bare, prefix, short, (short,) if tail[0] == "channel" else (short, full))


def _split(tenant_id: str, tokens: list[str]) -> tuple[str, list[str]]:
    """The prefix that names the organization, and the tokens after it."""
    if tokens[0] == tenant_id:
        return f"{tenant_id}.", tokens[1:]
    if tokens[0] != "tenant":
        return "", tokens
    if tokens[1:2] != [tenant_id]:
        raise ForbiddenSubject
    return f"tenant.{tenant_id}.", tokens[2:]


def bare_name(tenant_id: str, subject: str) -> str:
    """A subject of the broker without the organization; a channel's stays as it is."""
    if subject.startswith(f"{tenant_id}."):
        return subject[len(tenant_id) + 1 :]
    full = f"tenant.{tenant_id}."
    if subject.startswith(full) and not subject.startswith(f"{full}channel."):
        return subject[len(full) :]
    return subject


def channel_of(tenant_id: str, subject: str) -> str | None:
    """The channel that a subject of the broker belongs to."""
    prefix = f"tenant.{tenant_id}.channel."
    return subject[len(prefix) :] if subject.startswith(prefix) else None


def matches(pattern: str, subject: str) -> bool:
    """Whether a pattern matches a subject, by the rules of NATS."""
    tokens = subject.split(".")
    parts = pattern.split(".")
    for position, part in enumerate(parts):
        if part == ">":
            return len(tokens) > position
        if position >= len(tokens) or part not in ("*", tokens[position]):
            return False
    return len(parts) == len(tokens)


def _validate(text: str, *, wildcards: bool) -> list[str]:
    if not text or _BAD.search(text):
        raise BadSubject("a subject must not be empty or contain white space or control characters")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadSubject("a subject must be valid Unicode") from None
    if size > MAX_SUBJECT_BYTES:
        raise BadSubject(f"a subject must not exceed {MAX_SUBJECT_BYTES} bytes")
    tokens = text.split(".")
    for position, part in enumerate(tokens):
        if not part:
            raise BadSubject("a subject must not contain an empty token")
        if "*" in part or ">" in part:
            misplaced = part not in ("*", ">") or (part == ">" and position != len(tokens) - 1)
            if misplaced or not wildcards:
                raise BadSubject("a wildcard must be a whole token, and is allowed in patterns only")
    return tokens
