"""REST routes: subjects, the patterns whose messages are stored."""

from typing import Any

from litestar import Controller, Response, delete, get, post, put
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
from artcafe_gateway.history.reader import HistoryPage, HistoryQuery, StoredMessages
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.conditional import if_match
from artcafe_gateway.http.request import read_body, read_query, validate_id
from artcafe_gateway.routes.channels import HISTORY_ERRORS, read_messages


class SubjectsController(Controller):
    """Stored subjects. A JetStream stream in the organization's NATS account stores the messages of each pattern."""

    path = "/subjects"
    tags = ["subjects"]

    @get("/", summary="List the organization's subjects", commands=[ListSubjects])
    async def list_subjects(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Subjects:
        return await gateway.bus.call(read_query(request, ListSubjects), caller=tenant_user.caller)

    @post("/", summary="Create a subject: store the messages of a pattern", commands=[CreateSubject])
    async def create(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Subject:
        return await gateway.bus.call(await read_body(request, CreateSubject), caller=tenant_user.caller)

    @get("/{subject_id:str}", summary="Get a subject", commands=[GetSubject])
    async def get_subject(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        subject_id: FromPath[str],
    ) -> Subject:
        return await gateway.bus.call(
            GetSubject(subject_id=validate_id(subject_id)), caller=tenant_user.caller
        )

    @put("/{subject_id:str}", summary="Update a subject", commands=[UpdateSubject])
    async def update(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        subject_id: FromPath[str],
    ) -> Subject:
        command = await read_body(
            request, UpdateSubject, subject_id=validate_id(subject_id), if_match=if_match(request)
        )
        return await gateway.bus.call(command, caller=tenant_user.caller)

    @delete(
        "/{subject_id:str}",
        status_code=200,
        summary="Delete a subject and its stored messages",
        commands=[DeleteSubject],
    )
    async def delete_subject(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        subject_id: FromPath[str],
    ) -> Subject:
        return await gateway.bus.call(
            DeleteSubject(subject_id=validate_id(subject_id), if_match=if_match(request)),
            caller=tenant_user.caller,
        )

    @get(
        "/{subject_id:str}/messages",
        summary="List a subject's stored messages",
        commands=[GetSubject],
        request_type=HistoryQuery,
        response_type=HistoryPage,
        errors=HISTORY_ERRORS,
    )
    async def messages(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        subject_id: FromPath[str],
    ) -> Response[bytes]:
        subject = await gateway.bus.call(
            GetSubject(subject_id=validate_id(subject_id)), caller=tenant_user.caller
        )
        stored_in = StoredMessages(name=f"subject {subject.subject_id}", stream=subject.stream)
        return await read_messages(gateway, tenant_user, stored_in, read_query(request, HistoryQuery))
