"""Subject records: a subject pattern with a retention policy, backed by a stream."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from artcafe_common.broker.subjects import BadSubject, ForbiddenSubject
from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.streams import StreamRefused, SubjectOverlap
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


# What a stream keeps where its owner does not say, in bytes.
DEFAULT_MAX_BYTES = 64 * 1024**2


MAX_SUBJECTS = 200


# As much as the broker counts up to, and as JSON's readers do.
_MAX_NUMBER = 2**53 - 1


# The broker counts in nanoseconds.
_MAX_AGE_S = 100 * 365 * 24 * 3600


Pattern = Annotated[str, Meta(min_length=1, max_length=255)]


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a subject's stream keeps: whichever limit is reached first; None is no limit."""

    max_age_s: Annotated[int, Meta(ge=1, le=_MAX_AGE_S)] | None = None
    max_messages: Annotated[int, Meta(ge=1, le=_MAX_NUMBER)] | None = None
    max_bytes: Annotated[int, Meta(ge=1024, le=_MAX_NUMBER)] = DEFAULT_MAX_BYTES


class SubjectStatus(StrEnum):
    """pending: its stream is being made or changed; active: it is as it should be; refused: the
    broker does not take it.
    """

    PENDING = "pending"
    ACTIVE = "active"
    REFUSED = "refused"


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A subject pattern whose messages are kept, in the stream `stream`."""

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
    """Keep the messages of a pattern; `pending` when its stream is not there yet, but will be."""

    subject = "artcafe.tenancy.subject.create"
    raises = (NameTaken, PlanLimitReached, SubjectOverlap, StreamRefused, BadSubject, ForbiddenSubject)
    deadline_s = 10.0
    name: DisplayName
    pattern: Pattern
    retention: Retention = Retention()
    description: Description = ""
    metadata: Metadata = {}


class ListSubjects(ListQuery[Subjects], frozen=True, kw_only=True):
    """The subjects of the caller's tenant."""

    subject = "artcafe.tenancy.subject.list"


class GetSubject(Query[Subject], frozen=True, kw_only=True):
    """One subject of the caller's tenant."""

    subject = "artcafe.tenancy.subject.get"
    raises = (SubjectNotFound,)
    subject_id: str


class UpdateSubject(Command[Subject], frozen=True, kw_only=True):
    """Change what is given, `retention` as a whole; what was kept stays as far as its limits allow."""

    subject = "artcafe.tenancy.subject.update"
    raises = (
        SubjectNotFound,
        NameTaken,
        PlanLimitReached,
        SubjectOverlap,
        StreamRefused,
        BadSubject,
        ForbiddenSubject,
    )
    deadline_s = 10.0
    subject_id: str
    name: DisplayName | UnsetType = UNSET
    pattern: Pattern | UnsetType = UNSET
    retention: Retention | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteSubject(Command[Subject], frozen=True, kw_only=True):
    """Delete a subject, its stream and all that it kept."""

    subject = "artcafe.tenancy.subject.delete"
    raises = (SubjectNotFound,)
    deadline_s = 10.0
    subject_id: str
