"""The broker's copies of accounts: pushed and compared over the system account."""

import nats.errors
import structlog
from nats.aio.client import Client as Nats

from artcafe_common.bus.errors import CommandError, ServiceUnavailable
from artcafe_identity.tables import AccountItem

PUSH_TIMEOUT_S = 3
log = structlog.get_logger()


class _AccountRejected(ServiceUnavailable):
    """The broker does not accept this account's JWT; others it may accept."""


def is_rejection(error: CommandError) -> bool:
    """Whether the broker does not accept an account; others it may accept."""
    return isinstance(error, _AccountRejected)


class BrokerAccounts:
    """Reads and replaces the broker's copies. Raises ServiceUnavailable while the broker does not answer."""

    def __init__(self, system: Nats) -> None:
        self._system = system

    async def push(self, jwt: str) -> None:
        """Replace the copy of one account."""
        try:
            response = await self._system.request(
                "$SYS.REQ.CLAIMS.UPDATE", jwt.encode(), timeout=PUSH_TIMEOUT_S
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the broker cannot accept account updates now") from error
        if b'"code":200' not in response.data:
            log.error("account_rejected", response=response.data.decode(errors="replace"))
            raise _AccountRejected("the broker rejected the account")

    async def push_all(self, item: AccountItem) -> None:
        """Replace the copies of a tenant's accounts."""
        # The clients' account imports from the streams' accounts, so those come first.
        for streams in (item.streams, item.own):
            if streams is not None:
                await self.push(streams.jwt)
        await self.push(item.jwt)

    async def differs(self, item: AccountItem) -> bool:
        """Whether the broker lacks a tenant's accounts or has other versions of them."""
        accounts = ((each.account, each.jwt) for each in (item, item.streams, item.own) if each is not None)
        return any([await self._differs(*each) for each in accounts])

    async def _differs(self, account: str, jwt: str) -> bool:
        try:
            current = await self._system.request(
                f"$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP", b"", timeout=PUSH_TIMEOUT_S
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the broker cannot look up accounts now") from error
        return current.data.decode(errors="replace") != jwt
