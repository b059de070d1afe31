"""Connections into the accounts that have JetStream streams: those of tenants, and the platform's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.client import RawCredentials

from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.settings import BackupSettings
from artcafe_common.broker.claims import Credentials
from artcafe_common.broker.connect import connect_once
from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.broker.subjects import PRIVATE_INBOX_PREFIX
from artcafe_common.broker.system_account import PLATFORM_CONNECTION_NAME
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus, inbox_prefix
from artcafe_common.bus.errors import CommandError
from artcafe_common.clock import new_id
from artcafe_common.contracts.identity.accounts import AccountMissing, CompareAccounts
from artcafe_common.contracts.identity.stream_accounts import (
    IssueStreamCredentials,
    ListStreamAccounts,
    StreamAccess,
    StreamAccount,
)
from artcafe_common.installation.platform_keys import load_platform_keys
from artcafe_common.settings import read_key

CONNECT_TIMEOUT_S = 5
SERVICE = "backup"
# The kind of the platform's own account, which no tenant has.
PLATFORM_KIND = "platform"


class StreamAccounts:
    """Lists the accounts with streams, and connects to them."""

    def __init__(self, settings: BackupSettings, nc: Nats) -> None:
        self._settings = settings
        self._nc = nc
        self._bus = Bus(nc, service=SERVICE)
        self.platform = StreamAccount(
            tenant_id="", kind=PLATFORM_KIND, account=load_platform_keys(settings.keys_dir).platform_account
        )

    async def push_all(self) -> None:
        """Have the broker know every account, also right after the loss of its store. Raises BackupFailed."""
        try:
            await self._bus.call(CompareAccounts(push=True), caller=CallerContext.service(SERVICE))
        except CommandError as error:
            raise BackupFailed(f"identity pushes no accounts: {error.detail}", unavailable=True) from None

    async def list_all(self) -> list[StreamAccount]:
        """The platform's account and those of the tenants. Raises BackupFailed."""
        accounts, start = [self.platform], ""
        while True:
            try:
                page = await self._bus.call(
                    ListStreamAccounts(from_tenant=start), caller=CallerContext.service(SERVICE)
                )
            except CommandError as error:
                raise BackupFailed(
                    f"identity does not list the accounts: {error.detail}", unavailable=True
                ) from None
            accounts += page.accounts
            if page.next_tenant is None:
                return accounts
            start = page.next_tenant

    @asynccontextmanager
    async def connect(self, account: StreamAccount, access: StreamAccess) -> AsyncIterator[Nats]:
        """A connection that may do this with the streams of an account. Raises AccountMissing, BackupFailed."""
        if account == self.platform:
            yield self._nc
            return
        pair = create_key_pair(KeyKind.USER)
        command = IssueStreamCredentials(account=account, nkey_public=pair.public, access=access)
        try:
            issued = await self._bus.call(command, caller=CallerContext.service(SERVICE))
            nc = await connect_once(
                self._settings.nats_url.split(","),
                ca_file=self._settings.ca_file,
                user_credentials=RawCredentials(Credentials(jwt=issued.jwt, seed=pair.seed).render()),
                # Its traffic is the platform's own and not metered.
                name=PLATFORM_CONNECTION_NAME,
                inbox_prefix=f"{PRIVATE_INBOX_PREFIX}.{new_id()}",
                connect_timeout=CONNECT_TIMEOUT_S,
                error_cb=_ignore,
            )
        except AccountMissing:
            raise
        except CommandError as error:
            raise BackupFailed(
                f"identity issues no credentials for {account.account}: {error.detail}", unavailable=True
            ) from None
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BackupFailed(f"cannot connect to {account.account}: {error}", unavailable=True) from None
        try:
            yield nc
        finally:
            await nc.close()


@asynccontextmanager
async def open_stream_accounts(settings: BackupSettings) -> AsyncIterator[StreamAccounts]:
    """Connect to the platform's account with `backup.creds`. Raises BackupFailed."""
    path = settings.keys_dir / f"{SERVICE}.creds"
    if not path.exists():
        raise BackupFailed(f"{path} does not exist: run `artcafe bootstrap {settings.keys_dir} --renew`")
    try:
        nc = await connect_once(
            settings.nats_url.split(","),
            ca_file=settings.ca_file,
            user_credentials=RawCredentials(read_key(path) + "\n"),
            name=SERVICE,
            inbox_prefix=inbox_prefix(SERVICE),
            connect_timeout=CONNECT_TIMEOUT_S,
            error_cb=_ignore,
        )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise BackupFailed(
            f"the broker at {settings.nats_url} is not available: {error}", unavailable=True
        ) from None
    try:
        yield StreamAccounts(settings, nc)
    finally:
        await nc.close()


async def _ignore(_error: Exception) -> None:
    """Errors are raised where they occur."""
