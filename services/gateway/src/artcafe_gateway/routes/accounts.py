"""REST routes: organizations and their members."""

from typing import Any

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from artcafe_common.authorization import includes
from artcafe_common.bus.errors import Forbidden
from artcafe_common.contracts.identity.accounts import (
    IssueAccountKey,
    ListSigningKeys,
    RevokeSigningKey,
    SigningKey,
    SigningKeys,
)
from artcafe_common.contracts.tenancy.accounts import (
    Account,
    Accounts,
    CreateAccount,
    DeleteAccount,
    GetAccount,
    ListAccounts,
    RestoreAccount,
    UpdateAccount,
)
from artcafe_common.contracts.tenancy.members import (
    AddMember,
    ListMembers,
    Member,
    Members,
    RemoveMember,
    Role,
    UpdateMember,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http import account_export
from artcafe_gateway.http.auth import AuthenticatedUser, TenantUser
from artcafe_gateway.http.conditional import if_match
from artcafe_gateway.http.idempotency import EXECUTED_AS
from artcafe_gateway.http.idempotency_store import ExecutedAs
from artcafe_gateway.http.request import read_body, read_query, validate_id

EXPORT_EXAMPLE = (
    '{"type":"export","data":{"version":1,"account_id":"01JNB5W0K1M2N3P4Q5R6S7T8V9","exported_at":"2026-03-01T12:00:00Z"}}\n'
    '{"type":"client","data":{"client_id":"01JNB5X8S2Z4T6V8X0A2C4E6G8","name":"planner"}}\n'
    '{"type":"end","data":{"records":1}}\n'
)
KEY_WARNING = "This seed is shown only once and is not stored: save it now. The previous key is revoked."


class AccountKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new signing key of the organization, with its seed."""

    account_id: str
    nkey_public: str
    nkey_seed: str
    warning: str


class AccountsController(Controller):
    """Organizations (accounts) and their members. The account in the path selects the tenant."""

    path = "/accounts"
    tags = ["accounts"]

    @get("/", summary="List the user's organizations", commands=[ListAccounts])
    async def list_accounts(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        user: NamedDependency[AuthenticatedUser],
    ) -> Accounts:
        return await gateway.bus.call(read_query(request, ListAccounts), caller=user.caller)

    @post("/", summary="Create an organization", commands=[CreateAccount], server_fields=["email"])
    async def create(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        user: NamedDependency[AuthenticatedUser],
    ) -> Account:
        command = await read_body(request, CreateAccount, email=user.identity.email)
        account = await gateway.bus.call(command, caller=user.caller)
        gateway.lookup_cache.invalidate_membership(user.identity.user_id, account.account_id)
        request.scope["state"][EXECUTED_AS] = ExecutedAs(
            tenant_id=account.account_id, role=account.role.value
        )
        return account

    @get(
        "/{account_id:str}",
        summary="Get an organization",
        commands=[GetAccount],
        deleted_organization=True,
    )
    async def get_account(
        self, gateway: NamedDependency[Gateway], tenant_user: NamedDependency[TenantUser]
    ) -> Account:
        return await gateway.bus.call(GetAccount(), caller=tenant_user.caller)

    @put("/{account_id:str}", summary="Update an organization", commands=[UpdateAccount])
    async def update(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Account:
        return await gateway.bus.call(
            await read_body(request, UpdateAccount, if_match=if_match(request)), caller=tenant_user.caller
        )

    @delete(
        "/{account_id:str}",
        status_code=200,
        summary="Delete an organization after 7 days of grace",
        commands=[DeleteAccount],
        deleted_organization=True,
    )
    async def delete_account(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Account:
        return await gateway.bus.call(DeleteAccount(if_match=if_match(request)), caller=tenant_user.caller)

    @post(
        "/{account_id:str}/restore",
        status_code=200,
        summary="Restore a deleted organization",
        commands=[RestoreAccount],
        deleted_organization=True,
    )
    async def restore(
        self, gateway: NamedDependency[Gateway], tenant_user: NamedDependency[TenantUser]
    ) -> Account:
        return await gateway.bus.call(RestoreAccount(), caller=tenant_user.caller)

    @get(
        "/{account_id:str}/export",
        summary="Export everything of an organization as JSON Lines",
        commands=[GetAccount, *account_export.COMMANDS],
        deleted_organization=True,
        response_type=str,
        response_example=EXPORT_EXAMPLE,
        response_media_type=account_export.MEDIA_TYPE,
    )
    async def export(
        self, gateway: NamedDependency[Gateway], tenant_user: NamedDependency[TenantUser]
    ) -> Stream:
        if not includes(tenant_user.membership.role, Role.ADMIN):
            raise Forbidden
        account = await gateway.bus.call(GetAccount(), caller=tenant_user.caller)
        return Stream(
            account_export.export_account(gateway.bus, account, tenant_user.caller),
            media_type=account_export.MEDIA_TYPE,
            headers={"Content-Disposition": f'attachment; filename="{account.account_id}.jsonl"'},
        )

    @post(
        "/generate-nkey/{account_id:str}",
        summary="Generate a new signing key for the organization",
        commands=[IssueAccountKey],
    )
    async def generate_nkey(
        self, gateway: NamedDependency[Gateway], tenant_user: NamedDependency[TenantUser]
    ) -> AccountKey:
        issued = await gateway.bus.call(IssueAccountKey(), caller=tenant_user.caller)
        return AccountKey(
            account_id=tenant_user.caller.tenant_id,
            nkey_public=issued.nkey_public,
            nkey_seed=issued.nkey_seed,
            warning=KEY_WARNING,
        )

    @get(
        "/{account_id:str}/signing-keys",
        summary="List the organization's signing keys",
        commands=[ListSigningKeys],
    )
    async def list_signing_keys(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> SigningKeys:
        return await gateway.bus.call(read_query(request, ListSigningKeys), caller=tenant_user.caller)

    @delete(
        "/{account_id:str}/signing-keys/{nkey_public:str}",
        status_code=200,
        summary="Revoke a signing key and end the connections of its users",
        commands=[RevokeSigningKey],
    )
    async def revoke_signing_key(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        nkey_public: FromPath[str],
    ) -> SigningKey:
        command = RevokeSigningKey(nkey_public=validate_id(nkey_public))
        return await gateway.bus.call(command, caller=tenant_user.caller)

    @get("/{account_id:str}/members", summary="List the organization's members", commands=[ListMembers])
    async def list_members(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Members:
        return await gateway.bus.call(read_query(request, ListMembers), caller=tenant_user.caller)

    @post("/{account_id:str}/members", summary="Add a member", commands=[AddMember])
    async def add_member(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Member:
        return await gateway.bus.call(await read_body(request, AddMember), caller=tenant_user.caller)

    @put("/{account_id:str}/members/{user_id:str}", summary="Update a member's role", commands=[UpdateMember])
    async def update_member(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        user_id: FromPath[str],
    ) -> Member:
        command = await read_body(
            request, UpdateMember, user_id=validate_id(user_id), if_match=if_match(request)
        )
        return await gateway.bus.call(command, caller=tenant_user.caller)

    @delete(
        "/{account_id:str}/members/{user_id:str}",
        status_code=200,
        summary="Remove a member",
        commands=[RemoveMember],
    )
    async def remove_member(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        user_id: FromPath[str],
    ) -> Member:
        return await gateway.bus.call(
            RemoveMember(user_id=validate_id(user_id), if_match=if_match(request)), caller=tenant_user.caller
        )
