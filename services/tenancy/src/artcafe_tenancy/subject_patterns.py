"""Pure rules of subject records: what a pattern listens to, and which ones fit beside each other."""

from collections.abc import Mapping

from artcafe_common.broker.subjects import HISTORY_STREAM, PRESENCE, ForbiddenSubject, overlaps, resolve
from artcafe_common.contracts.identity.streams import SubjectOverlap
from artcafe_common.contracts.tenancy.fields import NameTaken, PlanLimitReached
from artcafe_common.contracts.tenancy.subjects import MAX_SUBJECTS
from artcafe_tenancy.tables import Reservation


def history_key(tenant_id: str) -> str:
    """The key of the record of the channels' history; never the id of a subject."""
    return f"history#{tenant_id}"


def stream_of(subject_id: str) -> str:
    """The name of a subject's stream."""
    return HISTORY_STREAM if subject_id.startswith("history#") else f"SUBJECT_{subject_id}"


def channel_subjects(tenant_id: str) -> str:
    """Where all messages of all channels travel."""
    return f"tenant.{tenant_id}.channel.>"


def raw_subjects(tenant_id: str, pattern: str) -> list[str]:
    """The NATS subjects of a pattern: those on which the gateway publishes and listens.

    BadSubject, ForbiddenSubject (another tenant's, the system's) or SubjectOverlap (the channels').
    """
    raw = list(resolve(tenant_id, pattern, wildcards=True).subscribe_subjects)
    if any(each.split(".")[:3] == ["tenant", tenant_id, PRESENCE] for each in raw):
        raise ForbiddenSubject("presence is the platform's own")
    if any(overlaps(each, channel_subjects(tenant_id)) for each in raw):
        raise SubjectOverlap(
            f"the pattern takes messages of channels, which keep their own: begin with a word of"
            f" your own, as in {_suggested(pattern)}"
        )
    return raw


def check_fits(
    entries: Mapping[str, Reservation], subject_id: str, wanted: Reservation, storage: int | None
) -> None:
    """NameTaken, SubjectOverlap or PlanLimitReached unless `wanted` has room beside the others.

    `storage` is what the plan allows for all streams, in bytes; who is over it already may keep what
    they have.
    """
    others = [each for key, each in entries.items() if key != subject_id]
    if len(others) > MAX_SUBJECTS:
        raise PlanLimitReached(f"an organization has at most {MAX_SUBJECTS} subjects")
    for other in others:
        if wanted.name and other.name == wanted.name:
            raise NameTaken
        if any(overlaps(mine, theirs) for mine in wanted.raw for theirs in other.raw):
            raise SubjectOverlap
    before = entries.get(subject_id)
    total = wanted.max_bytes + sum(other.max_bytes for other in others)
    grows = before is None or wanted.max_bytes > before.max_bytes
    if storage is not None and total > storage and grows:
        left = max(0, storage - total + wanted.max_bytes)
        raise PlanLimitReached(f"of the plan's storage, max_bytes of {left} are left")


def _suggested(pattern: str) -> str:
    return "events.>" if pattern.endswith(">") else "events.*"
