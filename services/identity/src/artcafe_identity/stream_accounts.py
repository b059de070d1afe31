"""The accounts of tenants that may contain JetStream streams, and credentials for the operator's backups of them."""

import time

from artcafe_common.broker.claims import encode
from artcafe_common.broker.nkeys import InvalidNKeyError, KeyKind, decode_public
from artcafe_common.bus.errors import InvalidRequest
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.identity.stream_accounts import (
    IssueStreamCredentials,
    StreamAccess,
    StreamAccount,
    StreamAccountPage,
    StreamCredentials,
)
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.store import Store
from artcafe_identity.tenant_claims import stream_backup_user_claims

TENANTS_PER_PAGE = 1000
# Longer than a snapshot of the largest stream takes.
CREDENTIALS_TTL_S = 3600


class StreamAccountRegistry:
    """Lists the accounts that may contain streams, and issues users in them."""

    def __init__(self, *, store: Store, accounts: AccountRepository) -> None:
        self._store = store
        self._accounts = accounts

    async def list_page(self, from_tenant: str) -> StreamAccountPage:
        """The accounts of the next tenants in the order of their ids."""
        items = sorted(await self._store.list_accounts(), key=lambda item: item.tenant_id)
        rest = [item for item in items if item.tenant_id >= from_tenant]
        page, following = rest[:TENANTS_PER_PAGE], rest[TENANTS_PER_PAGE:]
        return StreamAccountPage(
            accounts=[
                StreamAccount(tenant_id=item.tenant_id, kind=kind, account=account)
                for item in page
                for kind, account in item.stream_accounts.items()
            ],
            next_tenant=following[0].tenant_id if following else None,
        )

    async def issue(self, request: IssueStreamCredentials) -> StreamCredentials:
        """A user in one of these accounts. Raises AccountMissing, InvalidRequest."""
        try:
            decode_public(request.nkey_public, KeyKind.USER)
        except InvalidNKeyError as error:
            raise InvalidRequest(str(error)) from None
        wanted = request.account
        signing = await self._accounts.get_signing_account(wanted.tenant_id)
        account, key = signing.stream_keys.get(wanted.kind, ("", None))
        if key is None or account != wanted.account:
            raise AccountMissing
        now = int(time.time())
        jwt = encode(
            stream_backup_user_claims(account=account, restore=request.access is StreamAccess.RESTORE),
            issuer=key,
            subject=request.nkey_public,
            name="backup",
            issued_at=now,
            expires_at=now + CREDENTIALS_TTL_S,
        )
        return StreamCredentials(jwt=jwt)
