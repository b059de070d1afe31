"""The broker's system account, to which commands send changed accounts of the platform."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.client import RawCredentials

from artcafe_common.broker.connect import connect_once
from artcafe_common.bus.client import inbox_prefix
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.settings import StoreSettings, read_key

PUSH_TIMEOUT_S = 5


@asynccontextmanager
async def system_account(settings: StoreSettings) -> AsyncIterator[Nats]:
    """A connection with identity's credentials. Raises Failure when the broker does not answer."""
    try:
        system = await connect_once(
            settings.nats_url.split(","),
            ca_file=settings.ca_file,
            user_credentials=RawCredentials(read_key(settings.keys_dir / "identity-system.creds") + "\n"),
            inbox_prefix=inbox_prefix("identity"),
        )
        try:
            yield system
        finally:
            await system.close()
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise Failure(
            f"the broker accepts no accounts now ({error}); run the command again", ExitCode.UNAVAILABLE
        ) from None


async def push_accounts(settings: StoreSettings, jwts: list[str]) -> None:
    """Send account JWTs to the broker. Raises Failure."""
    async with system_account(settings) as system:
        for jwt in jwts:
            reply = await system.request("$SYS.REQ.CLAIMS.UPDATE", jwt.encode(), timeout=PUSH_TIMEOUT_S)
            if b'"code":200' not in reply.data:
                raise Failure("the broker rejected an account; run the command again", ExitCode.UNAVAILABLE)
