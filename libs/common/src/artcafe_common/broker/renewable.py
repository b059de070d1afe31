"""A NATS client whose connection can be replaced, for new credentials, without losing a request or a reply."""

import asyncio
import time

import nats.errors
from nats.protocol import command as protocol

from artcafe_common.broker.client import RECONNECT_FLUSH_TIMEOUT_S, HardenedNats
from artcafe_common.clock import now

# How long `renew` waits for pending replies. Callers repeat what was not sent for longer.
RENEW_REPLIES_S = 1.0
RENEW_POLL_S = 0.005


class RenewableNats(HardenedNats):
    """The connection of a service."""

    def __init__(self) -> None:
        super().__init__()
        # While it is True, requests are not sent: their replies could get lost.
        self.is_renewing = False
        # When the connection was lost last; what was published since may have been missed.
        self.lost_at = now()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        replies = self._resp_sub_prefix
        if replies is None or not subject.startswith(replies):
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        # nats-py passes the reply to a request through the queue and the task of a subscription.
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        try:
            waiting = self._resp_map.get(subject[len(replies) :].decode())
            if waiting is not None and not waiting.done():
                parsed = await self._process_headers(headers)
                waiting.set_result(self._build_message(sid, subject, reply, data, parsed))
        except Exception as error:  # noqa: BLE001 - costs this message only
            self.drops.record(error)

    async def renew(self) -> None:
        """Replace the connection, so that the broker reads new credentials; no request and no reply is lost.

        The broker sends nothing more to the subscriptions, except replies; what it has sent is received first.
        """
        transport, replies = self._transport, (self._resp_sub_prefix or bytearray()).decode()
        if transport is None or not self.is_connected:
            return
        self.is_renewing = True
        try:
            for sid, subscription in list(self._subs.items()):
                if not replies or not subscription.subject.startswith(replies):
                    transport.write(protocol.unsub_cmd(sid, 0))
            await self.flush(RECONNECT_FLUSH_TIMEOUT_S)
            deadline = time.monotonic() + RENEW_REPLIES_S
            while time.monotonic() < deadline and any(not each.done() for each in self._resp_map.values()):
                await asyncio.sleep(RENEW_POLL_S)
        finally:
            await self._process_op_err(nats.errors.Error("the credentials have changed"))
            self.is_renewing = False
