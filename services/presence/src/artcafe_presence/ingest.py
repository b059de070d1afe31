"""Receives the messages that clients publish to the platform, and verifies who sent them."""

import asyncio
from collections import deque

import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from artcafe_common.account_keys import AccountKeyCache, ConnectionIssuer, client_id_of
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.accounts import BrokerAccount
from artcafe_common.contracts.ingest import INGEST_SUBJECT, IngestOrigin, verify_origin
from artcafe_presence.ingest_usage import IngestUsageReporter
from artcafe_presence.reports import ReportBuffer

QUEUE = "presence"
# Messages of accounts whose keys are being requested; the oldest are dropped beyond this.
MAX_WAITING = 20_000
log = structlog.get_logger()

_Message = tuple[IngestOrigin, dict[str, str], bytes]


class IngestReceiver:
    """Passes each verified message on with the client that sent it.

    A sender is a client only if the platform issued its user; messages of others are counted for the tenant.
    """

    def __init__(self, *, keys: AccountKeyCache, usage: IngestUsageReporter, reports: ReportBuffer) -> None:
        self._keys = keys
        self._usage = usage
        self._reports = reports
        self._waiting: deque[_Message] = deque(maxlen=MAX_WAITING)
        # Messages that were dropped: for want of space, or because their sender's account was not found.
        self.overflowed = self.unresolved = 0

    @property
    def waiting_count(self) -> int:
        """How many messages wait for the keys of their account."""
        return len(self._waiting)

    async def subscribe(self, nc: Nats) -> None:
        """Subscribe; instances share the messages."""
        await nc.subscribe(INGEST_SUBJECT, queue=QUEUE, cb=self.receive)

    async def receive(self, message: Msg) -> None:
        """Handle one message; it waits for `resolve` if its account is not cached."""
        headers = message.headers or {}
        origin = verify_origin(message.subject, headers)
        if origin is None:
            return
        account = self._keys.get_cached(_issuer_of(origin))
        if account is None:
            self.overflowed += len(self._waiting) == MAX_WAITING
            self._waiting.append((origin, headers, message.data))
        else:
            self._accept(account, origin, headers, message.data)

    async def resolve(self) -> None:
        """Request the missing keys, and handle the messages that wait for them."""
        if not self._waiting:
            return
        waiting = list(self._waiting)
        self._waiting.clear()
        results = await asyncio.gather(
            *(self._keys.get(_issuer_of(origin)) for origin, _, _ in waiting), return_exceptions=True
        )
        failed = 0
        for message, result in zip(waiting, results, strict=True):
            if isinstance(result, BrokerAccount):
                self._accept(result, *message)
            else:
                failed += 1
                if not isinstance(result, CommandError):
                    log.error("sender_lookup_failed", error=type(result).__name__)
        if failed:
            self.unresolved += failed
            log.warning("reports_dropped", reason="the sender's account is unknown", count=failed)

    def _accept(
        self, account: BrokerAccount, origin: IngestOrigin, headers: dict[str, str], data: bytes
    ) -> None:
        if account.tenant_id != origin.subject.tenant_id:
            return
        client_id = client_id_of(origin.sender.user, issuer=origin.sender.issuer_key, account=account)
        self._usage.record(origin, client_id, headers, data)
        self._reports.receive(origin, client_id, data)


def _issuer_of(origin: IngestOrigin) -> ConnectionIssuer:
    sender = origin.sender
    return ConnectionIssuer(account=sender.acc, issuer=sender.issuer_key, connected_at=sender.start)
