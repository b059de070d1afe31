"""Subjects: patterns whose messages are kept, the channels' successor."""

from typing import Any

from litestar import Controller, delete, get, post, put
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.params import FromPath

from artcafe_common.contracts.tenancy.subjects import (
    CreateSubject,
    DeleteSubject,
    GetSubject,
    ListSubjects,
    Subject,
    Subjects,
    UpdateSubject,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.request import body, query, validate_id


class SubjectsController(Controller):
    """Each is backed by a JetStream stream in the organization's account."""

    path = "/subjects"
    tags = ["subjects"]

    @get("/", summary="The organization's subjects", does=[ListSubjects])
    async def list_subjects(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> Subjects:
        return await gateway.bus.call(query(request, ListSubjects), caller=member.caller)

    @post("/", summary="Keep the messages of a pattern", does=[CreateSubject])
    async def create(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> Subject:
        return await gateway.bus.call(await body(request, CreateSubject), caller=member.caller)

    @get("/{subject_id:str}", summary="One subject", does=[GetSubject])
    async def get_subject(
        self,
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        subject_id: FromPath[str],
    ) -> Subject:
        return await gateway.bus.call(GetSubject(subject_id=validate_id(subject_id)), caller=member.caller)

    @put("/{subject_id:str}", summary="Change a subject", does=[UpdateSubject])
    async def update(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        subject_id: FromPath[str],
    ) -> Subject:
        command = await body(request, UpdateSubject, subject_id=validate_id(subject_id))
        return await gateway.bus.call(command, caller=member.caller)

    @delete(
        "/{subject_id:str}",
        status_code=200,
        summary="Delete a subject with all that it kept",
        does=[DeleteSubject],
    )
    async def delete_subject(
        self,
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        subject_id: FromPath[str],
    ) -> Subject:
        return await gateway.bus.call(DeleteSubject(subject_id=validate_id(subject_id)), caller=member.caller)
