"""Organizations and their members."""

from typing import Any

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.params import FromPath

from artcafe_common.activity_reporting import build_activity_event
from artcafe_common.contracts.identity.accounts import IssueAccountKey
from artcafe_common.contracts.tenancy.accounts import (
    Account,
    Accounts,
    CreateAccount,
    GetAccount,
    ListAccounts,
    UpdateAccount,
)
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.members import (
    AddMember,
    ListMembers,
    Member,
    Members,
    RemoveMember,
    UpdateMember,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import AuthenticatedUser, TenantUser
from artcafe_gateway.http.request import body, query, validate_id

KEY_WARNING = "This seed is shown once and stored nowhere: keep it safe. The key before it no longer works."


class AccountKey(msgspec.Struct, frozen=True, kw_only=True):
    """A signing key that an organization holds itself."""

    account_id: str
    nkey_public: str
    nkey_seed: str
    warning: str


class AccountsController(Controller):
    """The path's account is the tenant that the caller acts for."""

    path = "/accounts"
    tags = ["accounts"]

    @get("/", summary="The caller's organizations", does=[ListAccounts])
    async def list_accounts(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        person: NamedDependency[AuthenticatedUser],
    ) -> Accounts:
        return await gateway.bus.call(query(request, ListAccounts), caller=person.caller)

    @post("/", summary="Found an organization", does=[CreateAccount], given=["email"])
    async def create(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        person: NamedDependency[AuthenticatedUser],
    ) -> Account:
        command = await body(request, CreateAccount, email=person.user.email)
        account = await gateway.bus.call(command, caller=person.caller)
        gateway.lookup_cache.forget_member(person.user.user_id, account.account_id)
        return account

    @get("/{account_id:str}", summary="One organization", does=[GetAccount])
    async def get_account(
        self, gateway: NamedDependency[Gateway], member: NamedDependency[TenantUser]
    ) -> Account:
        return await gateway.bus.call(GetAccount(), caller=member.caller)

    @put("/{account_id:str}", summary="Change an organization", does=[UpdateAccount])
    async def update(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> Account:
        return await gateway.bus.call(await body(request, UpdateAccount), caller=member.caller)

    @post(
        "/generate-nkey/{account_id:str}",
        summary="A new signing key for the organization",
        does=[IssueAccountKey],
    )
    async def generate_nkey(
        self, gateway: NamedDependency[Gateway], member: NamedDependency[TenantUser]
    ) -> AccountKey:
        issued = await gateway.bus.call(IssueAccountKey(), caller=member.caller)
        tenant_id = member.caller.tenant_id
        await gateway.bus.publish(
            build_activity_event(
                member.caller,
                ActivityType.ACCOUNT,
                "account.key_issued",
                f"account:{tenant_id}",
                tenant_id=tenant_id,
                metadata={"nkey_public": issued.nkey_public},
            )
        )
        return AccountKey(
            account_id=tenant_id,
            nkey_public=issued.nkey_public,
            nkey_seed=issued.nkey_seed,
            warning=KEY_WARNING,
        )

    @get("/{account_id:str}/members", summary="The organization's members", does=[ListMembers])
    async def list_members(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> Members:
        return await gateway.bus.call(query(request, ListMembers), caller=member.caller)

    @post("/{account_id:str}/members", summary="Add a member", does=[AddMember])
    async def add_member(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> Member:
        return await gateway.bus.call(await body(request, AddMember), caller=member.caller)

    @put("/{account_id:str}/members/{user_id:str}", summary="Change a member's role", does=[UpdateMember])
    async def update_member(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        user_id: FromPath[str],
    ) -> Member:
        command = await body(request, UpdateMember, user_id=validate_id(user_id))
        return await gateway.bus.call(command, caller=member.caller)

    @delete(
        "/{account_id:str}/members/{user_id:str}",
        status_code=200,
        summary="Remove a member",
        does=[RemoveMember],
    )
    async def remove_member(
        self, gateway: NamedDependency[Gateway], member: NamedDependency[TenantUser], user_id: FromPath[str]
    ) -> Member:
        return await gateway.bus.call(RemoveMember(user_id=validate_id(user_id)), caller=member.caller)
