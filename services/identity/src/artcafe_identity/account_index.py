"""What identity's parts must know of all accounts at any time, from the last time that each was read."""

import time
from typing import TypeVar

from artcafe_identity.tables import AccountItem, OwnStreams

V = TypeVar("V")


class AccountIndex:
    """Some facts of each account by tenant id."""

    def __init__(self) -> None:
        # When the quotas of tenants without messages left start again.
        self.exhausted_until: dict[str, int] = {}
        # The accounts of the platform's streams.
        self.streams_accounts: dict[str, str] = {}
        # The accounts of the clients.
        self.clients_accounts: dict[str, str] = {}
        # The accounts of own streams, with the number of replicas that was set last.
        self.own_accounts: dict[str, tuple[str, int]] = {}
        # Until when an instance moves a tenant's own streams.
        self._moving_until: dict[str, int] = {}
        self._noted_at: dict[str, float] = {}

    @property
    def moving(self) -> set[str]:
        """The tenants whose own streams have to be moved, and are not being moved by another instance."""
        return {tenant_id for tenant_id, until in self._moving_until.items() if until < time.time()}

    def note(self, item: AccountItem) -> None:
        """Replace what is known of an account."""
        tenant_id = item.tenant_id
        self._noted_at[tenant_id] = time.monotonic()
        self.clients_accounts[tenant_id] = item.account
        _set(self.exhausted_until, tenant_id, item.quota_exhausted_until or None)
        streams = item.streams if item.streams_moved else None
        _set(self.streams_accounts, tenant_id, None if streams is None else streams.account)
        is_moving = item.own_streams is OwnStreams.MOVING
        _set(self._moving_until, tenant_id, item.own_move_until if is_moving else None)
        own = None if item.own is None or is_moving else (item.own.account, item.own_replicas)
        _set(self.own_accounts, tenant_id, own)

    def forget(self, tenant_id: str) -> None:
        """An account is no more."""
        for number_by_tenant in (self.exhausted_until, self._moving_until, self._noted_at):
            number_by_tenant.pop(tenant_id, None)
        for account_by_tenant in (self.clients_accounts, self.streams_accounts):
            account_by_tenant.pop(tenant_id, None)
        self.own_accounts.pop(tenant_id, None)

    def forget_older(self, at: float) -> None:
        """Forget the accounts that were not noted since `at` (monotonic): all that exist were."""
        for tenant_id in [each for each, noted_at in self._noted_at.items() if noted_at < at]:
            self.forget(tenant_id)


def _set(known: dict[str, V], tenant_id: str, value: V | None) -> None:
    if value is None:
        known.pop(tenant_id, None)
    else:
        known[tenant_id] = value
