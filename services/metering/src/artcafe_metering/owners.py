"""Whose a connection is: a client's, the tenant's own user's, or a gateway's bridge."""

from collections import OrderedDict
from datetime import datetime

import msgspec

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.broker.system_account import PLATFORM_CONNECTION_NAME
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.clock import now
from artcafe_common.contracts.identity.accounts import AccountMissing, FindAccount
from artcafe_metering.connections import Seen

REMEMBERED_ACCOUNTS = 10_000
ANSWER_WITHIN_S = 2.0


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who a connection's traffic is counted for; a bridge's is counted by its gateway."""

    client_id: str = ""
    bridge: bool = False


class _Account(msgspec.Struct, frozen=True, kw_only=True):
    platform_key: str
    asked_at: datetime


class Owners:
    """Answers from memory where an answer cannot have changed, otherwise from identity."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    async def resolve(self, some: list[Seen]) -> dict[str, Owner | None]:
        """The owners by connection key; whoever cannot be told now is left out, never guessed.

        None is for connections of accounts that no longer exist, and for the platform's own work.
        """
        owners: dict[str, Owner | None] = {}
        missing: set[str] = set()
        answering = True
        for seen in some:
            if ULID_PATTERN.match(seen.user):
                owners[seen.key] = Owner(client_id=seen.user)
                continue
            account = self._known(seen)
            if account is None and answering and seen.account not in missing:
                try:
                    account = await self._ask(seen.account)
                except AccountMissing:
                    missing.add(seen.account)
                except CommandError:
                    answering = False  # one wait for identity in a round is enough
            if seen.account in missing:
                owners[seen.key] = None
            elif account is not None:
                ours = seen.issuer == account.platform_key
                owners[seen.key] = (
                    None if ours and seen.name == PLATFORM_CONNECTION_NAME else Owner(bridge=ours)
                )
        return owners

    def _known(self, seen: Seen) -> _Account | None:
        account = self._accounts.get(seen.account)
        if account is None:
            return None
        # Another issuer may be the platform's newer key, if the connection is younger than our word.
        if seen.issuer != account.platform_key and account.asked_at <= seen.start:
            return None
        self._accounts.move_to_end(seen.account)
        return account

    async def _ask(self, account: str) -> _Account:
        asked_at = now()
        found = await self._bus.call(
            FindAccount(account=account), caller=CallerContext.service("metering"), deadline_s=ANSWER_WITHIN_S
        )
        known = _Account(platform_key=found.platform_key, asked_at=asked_at)
        self._accounts[account] = known
        self._accounts.move_to_end(account)
        if len(self._accounts) > REMEMBERED_ACCOUNTS:
            self._accounts.popitem(last=False)
        return known
