"""Endpoints of subject records: patterns whose messages are stored in streams."""

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
from artcafe_tenancy.endpoint_base import EndpointBase, changed_fields, require_found
from artcafe_tenancy.outbox import OutboxEntry, build_entry
from artcafe_tenancy.tables import SubjectItem


class SubjectEndpoints(EndpointBase):
    """Commands of subject records."""

    @handles(CreateSubject)
    async def create_subject(self, request: CreateSubject) -> Subject:
        tenant_id = authorization.require_role(Role.MEMBER)
        names.check(request.name)
        metadata.check(request.metadata)
        raw = subject_patterns.to_raw_subjects(tenant_id, request.pattern)
        subject_id, now = clock.new_id(), clock.now()
        item = SubjectItem(
            subject_id=subject_id,
            tenant_id=tenant_id,
            name=request.name,
            pattern=request.pattern,
            raw=raw,
            stream=subject_patterns.stream_name(subject_id),
            retention=request.retention,
            description=request.description,
            metadata=request.metadata,
            created_at=now,
            updated_at=now,
        )
        await self.store.subjects.create(
            item, await self._storage_limit(tenant_id), _build_entry(item, "subject.created")
        )
        reconciled = await self.streams.wait_until_reconciled(tenant_id, item.subject_id)
        if reconciled is not None and _is_refused(reconciled, item):
            await self.store.subjects.mark_deleting(
                tenant_id, subject_id, lambda item: _build_entry(item, "subject.deleted")
            )
            # Returns once the reservation is released.
            await self.streams.wait_until_reconciled(tenant_id, subject_id)
            raise _refusal_error(reconciled)
        return _to_subject(reconciled or item)

    @handles(ListSubjects)
    async def list_subjects(self, request: ListSubjects) -> Subjects:
        tenant_id = authorization.require_role(Role.VIEWER)
        items, next_cursor = await self.read_page(self.store.subjects.list, tenant_id, "subjects", request)
        return Subjects(subjects=[_to_subject(item) for item in items], next_cursor=next_cursor)

    @handles(GetSubject)
    async def get_subject(self, request: GetSubject) -> Subject:
        item = await self.store.subjects.get(authorization.require_role(Role.VIEWER), request.subject_id)
        return _to_subject(require_found(item, SubjectNotFound))

    @handles(UpdateSubject)
    async def update_subject(self, request: UpdateSubject) -> Subject:
        tenant_id = authorization.require_role(Role.MEMBER)
        changes = changed_fields(request, key="subject_id")
        changed_names = sorted(changes)
        if request.pattern is not UNSET:
            changes["raw"] = subject_patterns.to_raw_subjects(tenant_id, request.pattern)
        updated = await self.store.subjects.update(
            tenant_id,
            request.subject_id,
            changes,
            await self._storage_limit(tenant_id),
            lambda item: _build_entry(item, "subject.updated", changed_names),
            request.check_version,
        )
        before, item = require_found(updated, SubjectNotFound)
        reconciled = await self.streams.wait_until_reconciled(tenant_id, item.subject_id)
        if reconciled is not None and _is_refused(reconciled, item):
            with suppress(CommandError):
                # If the old pattern or name is reserved by now, the record stays refused.
                await self.store.subjects.revert(
                    before, item, _build_entry(before, "subject.updated", changed_names)
                )
            raise _refusal_error(reconciled)
        return _to_subject(reconciled or item)

    @handles(DeleteSubject)
    async def delete_subject(self, request: DeleteSubject) -> Subject:
        tenant_id = authorization.require_role(Role.MEMBER)
        gone = await self.store.subjects.mark_deleting(
            tenant_id,
            request.subject_id,
            lambda item: _build_entry(item, "subject.deleted"),
            request.check_version,
        )
        item = require_found(gone, SubjectNotFound)
        await self.streams.wait_until_reconciled(tenant_id, item.subject_id)
        return _to_subject(item)

    async def _storage_limit(self, tenant_id: str) -> int | None:
        return LIMITS[(await self.get_tenant(tenant_id)).plan].storage_bytes


def _is_refused(current: SubjectItem, written: SubjectItem) -> bool:
    return current.status is SubjectStatus.REFUSED and current.version == written.version


def _refusal_error(item: SubjectItem) -> CommandError:
    if item.refusal == SubjectOverlap.code:
        return SubjectOverlap(
            "a stream that the organization created itself already stores some of the same messages"
        )
    return StreamRefused("the broker does not accept a stream with these limits")


def _build_entry(item: SubjectItem, action: str, changes: Iterable[str] = ()) -> OutboxEntry:
    return build_entry(
        ActivityType.SUBJECT,
        action,
        f"subject:{item.subject_id}",
        SubjectChanged(tenant_id=item.tenant_id, subject_id=item.subject_id),
        metadata={"name": item.name} | ({"changed": list(changes)} if changes else {}),
    )


def _to_subject(item: SubjectItem) -> Subject:
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
