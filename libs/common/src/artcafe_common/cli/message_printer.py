"""The subscription of `artcafe sub`: prints messages as they arrive, also after the connection was lost."""

import asyncio
import os
import sys
from contextlib import suppress
from typing import Any

import msgspec

from artcafe_client import Client, Gap, Message, Subscription
from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import Failure


class StopPrinting(Exception):
    """Enough messages were printed, or nobody reads them any more."""


class MessagePrinter:
    """Prints the messages of a subscription."""

    def __init__(self, client: Client, name: str, *, count: int, as_json: bool) -> None:
        self._client = client
        self._name = name
        self._count = count
        self._as_json = as_json
        self._printed = 0

    async def run(self, subscription: Subscription, timeout_s: float) -> None:
        """Return after `count` messages or `timeout_s`; Failure if too few messages arrived in time."""
        announcing = asyncio.create_task(self._announce(subscription))
        try:
            async with asyncio.timeout(timeout_s or None):
                with suppress(StopPrinting):
                    await self._print_all(subscription)
        except TimeoutError:
            if self._count:
                raise Failure(
                    f"received {self._printed} of {self._count} messages in {timeout_s:g} s"
                ) from None
        finally:
            announcing.cancel()

    async def _announce(self, subscription: Subscription) -> None:
        """Say when the subscription has begun, the first time and on each new connection."""
        await subscription
        announced = ""
        while True:
            await self._client.wait_connected()
            if self._client.connection_id != announced:
                announced = self._client.connection_id
                output.print_notice(f"listening on {self._name}")
            await self._client.wait_change()

    async def _print_all(self, subscription: Subscription) -> None:
        while True:
            try:
                async for message in subscription:
                    self._print(message)
            except Gap as gap:
                output.print_notice(f"messages {gap.from_seq} to {gap.to_seq} are not stored any more")
            else:
                return

    def _print(self, message: Message) -> None:
        try:
            if self._as_json:
                output.print_json(to_document(message))
            else:
                output.print_line(_format(message))
        except BrokenPipeError:
            # The reader of standard output ended, for example `| head`; this is not a lost connection.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise StopPrinting from None
        self._printed += 1
        if self._printed == self._count:
            raise StopPrinting


def to_document(message: Message) -> dict[str, Any]:
    """A message with the fields of a WebSocket frame; those without a value are left out."""
    optional = {
        "channel": message.channel,
        "from": message.sender,
        "headers": dict(message.headers),
        "seq": message.seq,
        "reply": message.reply,
    }
    return {
        "subject": message.subject,
        "data": message.data,
        "timestamp": message.timestamp,
        **{name: value for name, value in optional.items() if value},
    }


def _format(message: Message) -> str:
    sender = f" from {message.sender}" if message.sender else ""
    data = message.data
    text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
    timestamp = message.timestamp.isoformat().replace("+00:00", "Z")
    return f"[{timestamp}] {message.subject}{sender}: {text}"
