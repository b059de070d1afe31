"""Endpoints of subject records: patterns whose messages are kept in streams."""

from collections.abc import Iterable
from contextlib import suppress

from msgspec import UNSET

from artcafe_common import authorization, clock
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.streams import StreamRefused, SubjectOverlap
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.events import SubjectChanged
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.contracts.tenancy.subjects import (
    CreateSubject,
    DeleteSubject,
    GetSubject,
    ListSubjects,
    Subject,
    SubjectNotFound,
    Subjects,
    SubjectStatus,
    UpdateSubject,
)
from artcafe_common.plans import LIMITS
from artcafe_tenancy import metadata, names, subject_patterns
from artcafe_tenancy.endpoint_base import Handlers, changed_fields, require_found
from artcafe_tenancy.outbox import Entry, entry
from artcafe_tenancy.tables import SubjectItem


class SubjectEndpoints(Handlers):
    """What an organization keeps of its messages, besides its channels' history."""

    @handles(CreateSubject)
    async def create_subject(self, request: CreateSubject) -> Subject:
        tenant_id = authorization.require_role(Role.MEMBER)
        names.check(request.name)
        metadata.check(request.metadata)
        raw = subject_patterns.raw_subjects(tenant_id, request.pattern)
        subject_id, now = clock.new_id(), clock.now()
        item = SubjectItem(
            subject_id=subject_id,
            tenant_id=tenant_id,
            name=request.name,
            pattern=request.pattern,
            raw=raw,
            stream=subject_patterns.stream_of(subject_id),
            retention=request.retention,
            description=request.description,
            metadata=request.metadata,
            created_at=now,
            updated_at=now,
        )
        await self.store.subjects.create(item, await self._storage(tenant_id), _told(item, "subject.created"))
        settled = await self.streams.settled(tenant_id, item.subject_id)
        if settled is not None and _refused(settled, item):
            await self.store.subjects.begin_delete(
                tenant_id, subject_id, lambda gone: _told(gone, "subject.deleted")
            )
            # What it had taken is free again.
            await self.streams.settled(tenant_id, subject_id)
            raise _refusal(settled)
        return _shown(settled or item)

    @handles(ListSubjects)
    async def list_subjects(self, request: ListSubjects) -> Subjects:
        tenant_id = authorization.require_role(Role.VIEWER)
        items, next_cursor = await self.read_page(self.store.subjects.list, tenant_id, "subjects", request)
        return Subjects(subjects=[_shown(item) for item in items], next_cursor=next_cursor)

    @handles(GetSubject)
    async def get_subject(self, request: GetSubject) -> Subject:
        item = await self.store.subjects.get(authorization.require_role(Role.VIEWER), request.subject_id)
        return _shown(require_found(item, SubjectNotFound))

    @handles(UpdateSubject)
    async def update_subject(self, request: UpdateSubject) -> Subject:
        tenant_id = authorization.require_role(Role.MEMBER)
        changes = changed_fields(request, key="subject_id")
        given = sorted(changes)
        if request.pattern is not UNSET:
            changes["raw"] = subject_patterns.raw_subjects(tenant_id, request.pattern)
        changed = await self.store.subjects.change(
            tenant_id,
            request.subject_id,
            changes,
            await self._storage(tenant_id),
            lambda now: _told(now, "subject.updated", given),
        )
        before, item = require_found(changed, SubjectNotFound)
        settled = await self.streams.settled(tenant_id, item.subject_id)
        if settled is not None and _refused(settled, item):
            with suppress(CommandError):
                # Where somebody else has taken its place meanwhile, it stays as refused.
                await self.store.subjects.put_back(before, item, _told(before, "subject.updated", given))
            raise _refusal(settled)
        return _shown(settled or item)

    @handles(DeleteSubject)
    async def delete_subject(self, request: DeleteSubject) -> Subject:
        tenant_id = authorization.require_role(Role.MEMBER)
        gone = await self.store.subjects.begin_delete(
            tenant_id, request.subject_id, lambda item: _told(item, "subject.deleted")
        )
        item = require_found(gone, SubjectNotFound)
        await self.streams.settled(tenant_id, item.subject_id)
        return _shown(item)

    async def _storage(self, tenant_id: str) -> int | None:
        return LIMITS[(await self.tenant(tenant_id)).plan].storage_bytes


def _refused(now: SubjectItem, mine: SubjectItem) -> bool:
    return now.status is SubjectStatus.REFUSED and now.version == mine.version


def _refusal(item: SubjectItem) -> CommandError:
    if item.refusal == SubjectOverlap.code:
        return SubjectOverlap("a stream that the organization made itself keeps some of the same messages")
    return StreamRefused("the broker does not take a stream with these limits")


def _told(item: SubjectItem, action: str, changes: Iterable[str] = ()) -> Entry:
    return entry(
        ActivityType.SUBJECT,
        action,
        f"subject:{item.subject_id}",
        SubjectChanged(tenant_id=item.tenant_id, subject_id=item.subject_id),
        metadata={"name": item.name} | ({"changed": list(changes)} if changes else {}),
    )


def _shown(item: SubjectItem) -> Subject:
    return Subject(
        subject_id=item.subject_id,
        tenant_id=item.tenant_id,
        name=item.name,
        pattern=item.pattern,
        retention=item.retention,
        status=item.status,
        stream=item.stream,
        description=item.description,
        metadata=item.metadata,
        created_at=item.created_at,
        updated_at=item.updated_at,
    )
