"""Deletes what identity has of an organization whose grace is over: its streams, accounts, keys and limits."""

from contextlib import suppress
from pathlib import Path

import nats.errors
import structlog
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.tenancy.events import AccountDataDeleted, AccountExpired
from artcafe_common.plans import Plan
from artcafe_identity.account_connections import close_quietly, connect_to_account
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.rate_limits import IssuanceLimits
from artcafe_identity.store import Store
from artcafe_identity.tenant_claims import stream_removal_user_claims

API_TIMEOUT_S = 5
log = structlog.get_logger()


class AccountDeleter:
    """Handles AccountExpired. Idempotent; raises CommandError to be called again."""

    def __init__(
        self,
        *,
        bus: Bus,
        store: Store,
        accounts: AccountRepository,
        limits: IssuanceLimits,
        nats_url: str,
        ca_file: Path | None,
    ) -> None:
        self._bus = bus
        self._store = store
        self._accounts = accounts
        self._limits = limits
        self._servers = nats_url.split(",")
        self._ca_file = ca_file

    async def on_account_expired(self, event: AccountExpired) -> None:
        """Delete the streams, then the accounts that they are in, and confirm it."""
        item = await self._store.get_account(event.tenant_id)
        if item is not None:
            if item.own is not None and item.own_enabled and "own" not in item.stream_accounts:
                # JetStream is off there since a change to a smaller plan, but its streams are stored.
                item = await self._accounts.ensure(event.tenant_id, Plan.ENTERPRISE)
            signing = await self._accounts.get_signing_account(event.tenant_id)
            for account, key in signing.stream_keys.values():
                await self._delete_streams(account, key)
            await self._accounts.delete(item)
            log.info("account_deleted", tenant_id=event.tenant_id)
        await self._limits.remove(event.tenant_id)
        await self._bus.publish(
            AccountDataDeleted(tenant_id=event.tenant_id, round=event.round, service="identity")
        )

    async def _delete_streams(self, account: str, key: KeyPair) -> None:
        nc = await connect_to_account(
            self._servers,
            claims=stream_removal_user_claims(account=account),
            signing_key=key,
            ca_file=self._ca_file,
        )
        try:
            js = nc.jetstream(timeout=API_TIMEOUT_S)
            while streams := await js.streams_info():
                for stream in streams:
                    with suppress(NotFoundError):
                        await js.delete_stream(stream.config.name or "")
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the broker's streams are not available") from error
        finally:
            await close_quietly(nc)
