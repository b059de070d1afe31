"""Subject records: subject patterns with a retention policy, stored in JetStream streams."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from artcafe_common.broker.subjects import BadSubject, ForbiddenSubject
from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.streams import StreamRefused, SubjectOverlap
from artcafe_common.contracts.tenancy.conditional import ConditionalCommand, PreconditionFailed
from artcafe_common.contracts.tenancy.fields import (
    Description,
    DisplayName,
    Metadata,
    NameTaken,
    PlanLimitReached,
)
from artcafe_common.contracts.tenancy.list_query import ListQuery


class SubjectNotFound(CommandError):
    """The organization has no subject record with this id."""

    status = 404
    code = "subject_not_found"
    title = "The subject record was not found"
    remedy = "Check the id with `GET /api/v1/subjects`."


DEFAULT_MAX_BYTES = 64 * 1024**2
MAX_SUBJECTS = 200
# The largest integer that JSON readers preserve.
_MAX_NUMBER = 2**53 - 1
# 100 years; the broker counts nanoseconds in 64 bits.
_MAX_AGE_S = 100 * 365 * 24 * 3600
Pattern = Annotated[str, Meta(min_length=1, max_length=255)]


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of a subject's stream, of which the first one reached applies; null is no limit."""

    max_age_s: Annotated[int, Meta(ge=1, le=_MAX_AGE_S)] | None = None
    max_messages: Annotated[int, Meta(ge=1, le=_MAX_NUMBER)] | None = None
    max_bytes: Annotated[int, Meta(ge=1024, le=_MAX_NUMBER)] = DEFAULT_MAX_BYTES


class SubjectStatus(StrEnum):
    """The status of a subject's stream.

    pending: it is being created or updated. active: it matches the subject. refused: the broker rejected it.
    """

    PENDING = "pending"
    ACTIVE = "active"
    REFUSED = "refused"


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A subject pattern whose messages are stored in the stream `stream`."""

    subject_id: str
    tenant_id: str
    name: str
    pattern: str
    retention: Retention
    status: SubjectStatus
    stream: str
    description: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime


class Subjects(msgspec.Struct, frozen=True, kw_only=True):
    """A page of subjects."""

    subjects: list[Subject]
    next_cursor: str | None


class CreateSubject(Command[Subject], frozen=True, kw_only=True):
    """Create a subject, which stores the messages of a pattern; `pending` until its stream exists."""

    subject = "artcafe.tenancy.subject.create"
    raises = (NameTaken, PlanLimitReached, SubjectOverlap, StreamRefused, BadSubject, ForbiddenSubject)
    deadline_s = 10.0
    name: DisplayName
    pattern: Pattern
    retention: Retention = Retention()
    description: Description = ""
    metadata: Metadata = {}


class ListSubjects(ListQuery[Subjects], frozen=True, kw_only=True):
    """List the subjects of the caller's organization."""

    subject = "artcafe.tenancy.subject.list"


class GetSubject(Query[Subject], frozen=True, kw_only=True):
    """Get a subject of the caller's organization."""

    subject = "artcafe.tenancy.subject.get"
    raises = (SubjectNotFound,)
    subject_id: str


class UpdateSubject(ConditionalCommand[Subject], frozen=True, kw_only=True):
    """Update the given fields of a subject, `retention` as a whole; stored messages stay within the new limits."""

    subject = "artcafe.tenancy.subject.update"
    raises = (
        SubjectNotFound,
        NameTaken,
        PlanLimitReached,
        SubjectOverlap,
        StreamRefused,
        BadSubject,
        ForbiddenSubject,
        PreconditionFailed,
    )
    deadline_s = 10.0
    subject_id: str
    name: DisplayName | UnsetType = UNSET
    pattern: Pattern | UnsetType = UNSET
    retention: Retention | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteSubject(ConditionalCommand[Subject], frozen=True, kw_only=True):
    """Delete a subject with its stream and stored messages."""

    subject = "artcafe.tenancy.subject.delete"
    raises = (SubjectNotFound, PreconditionFailed)
    deadline_s = 10.0
    subject_id: str
