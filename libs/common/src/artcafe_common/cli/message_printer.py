"""The subscription of `artcafe sub`: prints messages as they arrive, also after the connection was lost."""

import asyncio
from contextlib import suppress
from typing import Any

import msgspec

from artcafe_client import Client, Gap, Message, Subscription
from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import Failure
from artcafe_common.cli.line_printer import LinePrinter, StopPrinting


class MessagePrinter:
    """Prints the messages of a subscription."""

    def __init__(self, client: Client, name: str, *, count: int, as_json: bool) -> None:
        self._client = client
        self._name = name
        self._count = count
        self._printer = LinePrinter(count, as_json=as_json)

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
                    f"received {self._printer.printed} of {self._count} messages in {timeout_s:g} s"
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
                    self._printer.print(to_document(message), _format(message))
            except Gap as gap:
                output.print_notice(f"messages {gap.from_seq} to {gap.to_seq} are not stored any more")
            else:
                return


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


def format_message(timestamp: str, subject: str, sender: str | None, data: Any) -> str:
    """A message on one line, for people."""
    text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
    return f"[{timestamp}] {subject}{f' from {sender}' if sender else ''}: {text}"


def _format(message: Message) -> str:
    timestamp = message.timestamp.isoformat().replace("+00:00", "Z")
    return format_message(timestamp, message.subject, message.sender, message.data)
