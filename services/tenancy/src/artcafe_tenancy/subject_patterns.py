"""Rules of subject records: the NATS subjects of a pattern, and conflicts between patterns."""

from collections.abc import Mapping

from artcafe_common.broker.subjects import HISTORY_STREAM, PRESENCE, ForbiddenSubject, overlaps, resolve
from artcafe_common.contracts.identity.streams import SubjectOverlap
from artcafe_common.contracts.tenancy.fields import NameTaken, PlanLimitReached
from artcafe_common.contracts.tenancy.subjects import MAX_SUBJECTS
from artcafe_tenancy.names import normalize
from artcafe_tenancy.tables import SubjectReservation


def history_key(tenant_id: str) -> str:
    """The key of the record for the channels' history, which is never a valid subject id."""
    return f"history#{tenant_id}"


def stream_name(subject_id: str) -> str:
    """The name of a subject's JetStream stream."""
    return HISTORY_STREAM if subject_id.startswith("history#") else f"SUBJECT_{subject_id}"


def all_channels_subject(tenant_id: str) -> str:
    """The wildcard subject of all channel messages of a tenant."""
    return f"tenant.{tenant_id}.channel.>"


def to_raw_subjects(tenant_id: str, pattern: str) -> list[str]:
    """The NATS subjects of a pattern, as the gateway publishes and subscribes to them.

    Raises BadSubject, ForbiddenSubject (the pattern covers another tenant's or system subjects) or
    SubjectOverlap (it covers channels).
    """
    raw = list(resolve(tenant_id, pattern, wildcards=True).subscribe_subjects)
    if any(subject.split(".")[:3] == ["tenant", tenant_id, PRESENCE] for subject in raw):
        raise ForbiddenSubject("presence subjects are reserved for the platform")
    if any(overlaps(subject, all_channels_subject(tenant_id)) for subject in raw):
        raise SubjectOverlap(
            "the pattern covers channel messages, which are already stored: begin it with a token of your"
            f" own, for example {_example_pattern(pattern)}"
        )
    return raw


def check_reservation(
    reservations: Mapping[str, SubjectReservation],
    subject_id: str,
    wanted: SubjectReservation,
    storage: int | None,
) -> None:
    """Raises NameTaken, SubjectOverlap or PlanLimitReached if `wanted` conflicts with the others.

    `storage` is the plan's limit for all streams, in bytes. A tenant above it may not reserve more, but
    keeps its existing reservations.
    """
    others = [each for key, each in reservations.items() if key != subject_id]
    if len(others) > MAX_SUBJECTS:
        raise PlanLimitReached(f"an organization can have at most {MAX_SUBJECTS} subjects")
    for other in others:
        if wanted.name and normalize(other.name) == wanted.name:
            raise NameTaken
        if any(overlaps(mine, theirs) for mine in wanted.raw for theirs in other.raw):
            raise SubjectOverlap
    before = reservations.get(subject_id)
    total = wanted.max_bytes + sum(other.max_bytes for other in others)
    grows = before is None or wanted.max_bytes > before.max_bytes
    if storage is not None and total > storage and grows:
        available = max(0, storage - total + wanted.max_bytes)
        raise PlanLimitReached(
            f"the organization's plan allows {storage} bytes of storage: max_bytes can be at most {available} here"
        )


def _example_pattern(pattern: str) -> str:
    return "events.>" if pattern.endswith(">") else "events.*"
