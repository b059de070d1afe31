"""The signing keys of tenants: issued, listed and revoked by admins, and ended with their issuer's role."""

from typing import Any

from artcafe_common import authorization, clock
from artcafe_common.activity_reporting import build_activity_event
from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.bus.caller import current_caller
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import Forbidden, InvalidCursor
from artcafe_common.contracts.identity.accounts import (
    AccountMissing,
    SigningKey,
    SigningKeyNotFound,
    SigningKeys,
)
from artcafe_common.contracts.identity.clients import IssuedKeyPair
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.events import MembershipChanged
from artcafe_common.contracts.tenancy.members import ResolveMembership, Role
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.rate_limits import IssuanceLimits

# The least role that issues, lists and revokes signing keys.
LEAST_ROLE = Role.ADMIN


class SigningKeyManager:
    """Issues, lists and revokes the signing keys of tenants.

    Each change is recorded in the activity log before it is made, so none is without its entry, and a
    failing record never hides the seed of a key that was issued.
    """

    def __init__(self, *, bus: Bus, accounts: AccountRepository, issuance_limits: IssuanceLimits) -> None:
        self._bus = bus
        self._accounts = accounts
        self._issuance_limits = issuance_limits

    async def issue(self) -> IssuedKeyPair:
        """Replace the signing keys of the caller's tenant by a new one. Raises Forbidden, AccountMissing."""
        tenant_id, user_id = authorization.require_role(LEAST_ROLE), authorization.require_user()
        await self._issuance_limits.acquire_key(tenant_id)
        pair = create_key_pair(KeyKind.ACCOUNT)
        key = SigningKey(nkey_public=pair.public, issued_by=user_id, issued_at=clock.now())

        async def replace(before: list[SigningKey]) -> list[SigningKey]:
            # Between the two reads of the account the role may end. Its event changes the account, so
            # the role is read again.
            await self._require_current_role(tenant_id, user_id)
            replaced = [each.nkey_public for each in before]
            await self._record(tenant_id, "account.key_issued", key, {"replaced": replaced})
            return [key]

        await self._accounts.change_tenant_keys(tenant_id, replace)
        return IssuedKeyPair(nkey_public=pair.public, nkey_seed=pair.seed)

    async def list_keys(self, cursor: str | None) -> SigningKeys:
        """The signing keys of the caller's tenant, on one page. Raises Forbidden, AccountMissing, InvalidCursor."""
        tenant_id = authorization.require_role(LEAST_ROLE)
        if cursor is not None:
            raise InvalidCursor
        return SigningKeys(signing_keys=await self._accounts.get_tenant_keys(tenant_id), next_cursor=None)

    async def revoke(self, nkey_public: str) -> SigningKey:
        """Remove a signing key of the caller's tenant. Raises Forbidden, AccountMissing, SigningKeyNotFound."""
        tenant_id = authorization.require_role(LEAST_ROLE)
        revoked: list[SigningKey] = []

        async def remove(before: list[SigningKey]) -> list[SigningKey]:
            revoked[:] = [key for key in before if key.nkey_public == nkey_public]
            if not revoked:
                raise SigningKeyNotFound
            await self._record(tenant_id, "account.key_revoked", revoked[0], {"reason": "revoked"})
            return [key for key in before if key.nkey_public != nkey_public]

        await self._accounts.change_tenant_keys(tenant_id, remove)
        return revoked[0]

    async def on_membership_changed(self, event: MembershipChanged) -> None:
        """Remove the keys of a user who may no longer issue any. Idempotent."""
        if event.role is not None and authorization.includes(event.role, LEAST_ROLE):
            return

        async def remove(before: list[SigningKey]) -> list[SigningKey]:
            for key in before:
                if _ends(key, event):
                    reason = "issuer_removed" if event.role is None else "issuer_demoted"
                    # The same id for a repeated event, so the entry is stored once.
                    event_id = f"{event.event_id}-{key.nkey_public}"
                    details = {"reason": reason, "issued_by": key.issued_by}
                    await self._record(
                        event.tenant_id, "account.key_revoked", key, details, event_id=event_id
                    )
            return [key for key in before if not _ends(key, event)]

        try:
            await self._accounts.change_tenant_keys(event.tenant_id, remove)
        except AccountMissing:
            return

    async def _require_current_role(self, tenant_id: str, user_id: str) -> None:
        """Raises Forbidden unless the user has the role now; the caller's context may be seconds old."""
        membership = await self._bus.call(ResolveMembership(user_id=user_id, tenant_id=tenant_id))
        if not authorization.includes(membership.role, LEAST_ROLE):
            raise Forbidden

    async def _record(
        self, tenant_id: str, action: str, key: SigningKey, details: dict[str, Any], *, event_id: str = ""
    ) -> None:
        event = build_activity_event(
            current_caller(),
            ActivityType.ACCOUNT,
            action,
            f"account:{tenant_id}",
            tenant_id=tenant_id,
            metadata={"nkey_public": key.nkey_public, **details},
            event_id=event_id or f"{action}-{key.nkey_public}",
        )
        await self._bus.publish(event)


def _ends(key: SigningKey, event: MembershipChanged) -> bool:
    if key.issued_by is not None:
        return key.issued_by == event.user_id
    # A key of an earlier release: any user who could issue keys may have issued it.
    return event.previous_role is not None and authorization.includes(event.previous_role, LEAST_ROLE)
