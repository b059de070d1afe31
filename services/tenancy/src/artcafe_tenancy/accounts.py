"""Endpoints of organizations, which the API calls accounts."""

from datetime import timedelta
from typing import Any

import structlog

from artcafe_common import authorization, clock
from artcafe_common.bus.caller import current_caller
from artcafe_common.bus.command import Event
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import CommandError, InvalidRequest
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.identity.accounts import EnsureAccount
from artcafe_common.contracts.tenancy.accounts import (
    Account,
    AccountNotFound,
    Accounts,
    AccountStatus,
    ChangePlan,
    CreateAccount,
    DeleteAccount,
    GetAccount,
    GetResourceUsage,
    ListAccounts,
    ResourceUsage,
    RestoreAccount,
    SetAccountStatus,
    UpdateAccount,
)
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.events import AccountStatusChanged, MembershipChanged, PlanChanged
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.plans import LIMITS
from artcafe_tenancy import metadata, names
from artcafe_tenancy.endpoint_base import EndpointBase, changed_fields, require_found
from artcafe_tenancy.outbox import OutboxEntry, build_entry, to_timestamp
from artcafe_tenancy.tables import MemberItem, TenantItem

# How long a deleted organization can be restored.
GRACE = timedelta(days=7)
log = structlog.get_logger()


class AccountEndpoints(EndpointBase):
    """Commands that create, read and update organizations."""

    @handles(CreateAccount)
    async def create_account(self, request: CreateAccount) -> Account:
        user_id = authorization.require_user()
        names.check(request.name)
        metadata.check(request.metadata)
        now = clock.now()
        tenant = TenantItem(
            id=clock.new_id(),
            name=request.name,
            description=request.description,
            plan=self.default_plan,
            metadata=request.metadata,
            owners_count=1,
            created_by=user_id,
            created_at=now,
            updated_at=now,
        )
        owner = MemberItem(
            user_id=user_id,
            tenant_id=tenant.id,
            email=request.email,
            role=Role.OWNER,
            created_at=now,
            updated_at=now,
        )
        await self.store.check_organizations(user_id, self.organizations_per_user)
        # The broker comes first: an account without a tenant is harmless, a tenant without an account is not.
        await self.bus.call(EnsureAccount(tenant_id=tenant.id, plan=tenant.plan))
        # Gateways cache a user's only organization; the event invalidates it.
        joined = MembershipChanged(tenant_id=tenant.id, user_id=user_id, role=Role.OWNER)
        entry = _build_entry(tenant.id, "account.created", joined)
        await self.store.create_tenant(tenant, owner, entry, limit=self.organizations_per_user)
        return _to_account(tenant, Role.OWNER)

    @handles(ListAccounts)
    async def list_accounts(self, request: ListAccounts) -> Accounts:
        user_id = authorization.require_user()
        items, next_cursor = await self.read_page(self.store.list_memberships, user_id, "accounts", request)
        tenants = await self.store.get_tenants([membership.tenant_id for membership in items])
        pairs = zip(items, tenants, strict=True)
        return Accounts(
            accounts=[_to_account(tenant, each.role) for each, tenant in pairs if tenant is not None],
            next_cursor=next_cursor,
        )

    @handles(GetAccount)
    async def get_account(self, request: GetAccount) -> Account:  # noqa: ARG002 - it has no fields
        tenant = await self.store.get_tenant(authorization.require_role(Role.VIEWER))
        tenant = require_found(tenant, AccountNotFound)
        return _to_account(tenant, authorization.role_of(current_caller()))

    @handles(GetResourceUsage)
    async def get_resource_usage(self, request: GetResourceUsage) -> ResourceUsage:  # noqa: ARG002 - it has no fields
        tenant_id = authorization.require_role(Role.VIEWER)
        tenant, storage_bytes = await run_together(
            self.store.get_tenant(tenant_id), self.store.subjects.reserved_bytes(tenant_id)
        )
        tenant = require_found(tenant, AccountNotFound)
        return ResourceUsage(
            clients=tenant.clients_count, channels=tenant.channels_count, storage_bytes=storage_bytes
        )

    @handles(UpdateAccount)
    async def update_account(self, request: UpdateAccount) -> Account:
        tenant_id = authorization.require_role(Role.ADMIN)
        changes = changed_fields(request)
        entry = _build_entry(tenant_id, "account.updated", metadata={"changed": sorted(changes)})
        tenant = await self.store.update_tenant(tenant_id, changes, entry, request.check_version)
        return _to_account(tenant, authorization.role_of(current_caller()))

    @handles(DeleteAccount)
    async def delete_account(self, request: DeleteAccount) -> Account:
        tenant_id = authorization.require_role(Role.OWNER)
        deletion_at = clock.now() + GRACE
        entry = _build_entry(
            tenant_id,
            "account.deleted",
            AccountStatusChanged(tenant_id=tenant_id, status=AccountStatus.DELETED),
            metadata={"deletion_at": to_timestamp(deletion_at)},
        )
        tenant = await self.store.update_tenant(
            tenant_id,
            lambda before: {"deletion_at": deletion_at} if before.deletion_at is None else None,
            entry,
            request.check_version,
            further=[self.store.deletions.build_schedule(tenant_id, deletion_at)],
        )
        return _to_account(tenant, Role.OWNER)

    @handles(RestoreAccount)
    async def restore_account(self, request: RestoreAccount) -> Account:  # noqa: ARG002 - it has no fields
        tenant_id = authorization.require_role(Role.OWNER)
        entry = _build_entry(
            tenant_id,
            "account.restored",
            AccountStatusChanged(tenant_id=tenant_id, status=AccountStatus.ACTIVE),
        )
        tenant = await self.store.update_tenant(
            tenant_id,
            lambda before: None if before.deletion_at is None else {"deletion_at": None},
            entry,
            further=[self.store.deletions.build_cancel(tenant_id)],
        )
        return _to_account(tenant, Role.OWNER)

    @handles(ChangePlan)
    async def change_plan(self, request: ChangePlan) -> Account:
        authorization.require_operator()
        entry = _build_entry(
            request.tenant_id,
            "account.plan_changed",
            PlanChanged(tenant_id=request.tenant_id, plan=request.plan),
            metadata={"plan": request.plan.value},
        )
        tenant = await self.store.update_tenant(request.tenant_id, {"plan": request.plan}, entry)
        try:
            await self.bus.call(EnsureAccount(tenant_id=tenant.id, plan=tenant.plan))
        except CommandError as error:
            # The change is stored; identity sets the broker's limits by its event, also after a concurrent change.
            log.warning("plan_limits_delayed", tenant_id=tenant.id, reason=error.detail)
        return _to_account(tenant, Role.OWNER)

    @handles(SetAccountStatus)
    async def set_account_status(self, request: SetAccountStatus) -> Account:
        authorization.require_operator()
        if request.status is AccountStatus.DELETED:
            raise InvalidRequest("only an owner deletes an organization")
        entry = _build_entry(
            request.tenant_id,
            "account.suspended" if request.status is AccountStatus.SUSPENDED else "account.resumed",
            AccountStatusChanged(tenant_id=request.tenant_id, status=request.status),
        )
        # Also without a change, so that a repeated command has its effects again.
        tenant = await self.store.update_tenant(request.tenant_id, {"status": request.status}, entry)
        return _to_account(tenant, Role.OWNER)


def _build_entry(
    tenant_id: str, action: str, *events: Event, metadata: dict[str, Any] | None = None
) -> OutboxEntry:
    return build_entry(
        ActivityType.ACCOUNT, action, f"account:{tenant_id}", *events, tenant_id=tenant_id, metadata=metadata
    )


def _to_account(tenant: TenantItem, role: Role) -> Account:
    return Account(
        account_id=tenant.id,
        name=tenant.name,
        description=tenant.description,
        status=_status_of(tenant),
        plan=tenant.plan,
        role=role,
        limits=LIMITS[tenant.plan],
        metadata=tenant.metadata,
        created_at=tenant.created_at,
        updated_at=tenant.updated_at,
        deletion_at=tenant.deletion_at,
    )


def _status_of(tenant: TenantItem) -> AccountStatus:
    # An operator's decision comes before an owner's.
    is_deleted = tenant.deletion_at is not None and tenant.status is AccountStatus.ACTIVE
    return AccountStatus.DELETED if is_deleted else tenant.status
