"""The subscription of `artcafe sub`: prints messages and reconnects when the connection is lost."""

import asyncio
import os
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import msgspec

from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import Failure
from artcafe_common.cli.transport import (
    ConnectionLost,
    StopReceiving,
    Subject,
    SubscribeOptions,
    Transport,
)
from artcafe_common.cli.user_commands import open_api, path_segment

MIN_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
# The clocks of the history and of this machine may differ by this much for the same message.
SAME_MESSAGE = timedelta(seconds=2)


class MessagePrinter:
    """Prints the messages of a subject.

        connecting --subscribed--> history --printed--> live
            ^                         |                   |
            |                         +--connection lost--+--> backoff --+
            +------------------------------------------------------------+

    `replay` (`since` or `last`) makes the gateway replay stored messages. `load_history` loads them over
    REST instead, once; a live message that is also in the history is printed once.
    """

    def __init__(
        self,
        transport: Transport,
        subject: Subject,
        *,
        count: int,
        as_json: bool,
        replay: dict[str, int] | None = None,
        queue: str = "",
        load_history: Callable[[], list[dict[str, Any]]] | None = None,
    ) -> None:
        self._transport = transport
        self._subject = subject
        self._count = count
        self._as_json = as_json
        self._printed = 0
        self._was_connected = False
        self._history: list[dict[str, Any]] = []
        self._backoff_s = MIN_BACKOFF_S
        self._replay = replay or {}
        self._queue = queue
        self._load_history = load_history

    async def run(self, timeout_s: float) -> None:
        """Return after `count` messages or `timeout_s`.

        Raises Failure if too few messages arrived in time, or if the first connection fails.
        """
        try:
            async with asyncio.timeout(timeout_s or None):
                with suppress(StopReceiving):
                    await self._receive()
        except TimeoutError:
            if self._count:
                raise Failure(
                    f"received {self._printed} of {self._count} messages in {timeout_s:g} s"
                ) from None

    async def _receive(self) -> None:
        while True:
            try:
                options = SubscribeOptions(replay=self._replay, queue=self._queue)
                await self._transport.subscribe(self._subject, options, self._on_subscribed, self._on_message)
            except ConnectionLost as error:
                if not self._was_connected and not error.retry_after_s:
                    raise error.to_failure() from None
                delay_s = max(error.retry_after_s, self._backoff_s * random.uniform(0.5, 1.0))
                output.print_notice(f"{error}; retrying in {delay_s:.1f} s")
                self._backoff_s = min(self._backoff_s * 2, MAX_BACKOFF_S)
                await asyncio.sleep(delay_s)

    async def _on_subscribed(self) -> None:
        self._was_connected = True
        self._backoff_s = MIN_BACKOFF_S
        output.print_notice(f"listening on {self._subject.text}")
        if self._load_history is not None:
            # Live messages wait in the connection until the history is printed.
            load, self._load_history = self._load_history, None
            history = await asyncio.to_thread(load)
            for message in history:
                self._print(message)
            self._history = history

    def _on_message(self, message: dict[str, Any]) -> None:
        for index, stored in enumerate(self._history):
            if _is_same_message(stored, message):
                del self._history[index]
                return
        self._print(message)

    def _print(self, message: dict[str, Any]) -> None:
        try:
            if self._as_json:
                output.print_json(message)
            else:
                output.print_line(_format(message))
        except BrokenPipeError:
            # The reader of standard output ended, for example `| head`; this is not a lost connection.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise StopReceiving from None
        if self._replay and "seq" in message:
            # A reconnect continues with the next message.
            self._replay = {"since": message["seq"] + 1}
        self._printed += 1
        if self._printed == self._count:
            raise StopReceiving


def fetch_history(channel_id: str, last: int, *, account: str, api: str | None) -> list[dict[str, Any]]:
    """The last stored messages of a channel, oldest first."""
    with open_api(api, account) as client:
        path = f"/channels/{path_segment(channel_id)}/messages"
        page = client.request("GET", path, params={"last": last, "limit": last})
        messages: list[dict[str, Any]] = page["messages"]
        while page["next_cursor"]:  # the size of a page is limited in bytes, too
            page = client.request("GET", path, params={"cursor": page["next_cursor"], "limit": last})
            messages += page["messages"]
        return messages[-last:]


def _format(message: dict[str, Any]) -> str:
    sender = f" from {message['from']}" if "from" in message else ""
    data = message["data"]
    text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
    timestamp = _timestamp(message).isoformat().replace("+00:00", "Z")
    return f"[{timestamp}] {message['subject']}{sender}: {text}"


def _is_same_message(stored: dict[str, Any], live: dict[str, Any]) -> bool:
    if stored["data"] != live["data"] or stored.get("from") != live.get("from"):
        return False
    return abs(_timestamp(stored) - _timestamp(live)) < SAME_MESSAGE


def _timestamp(message: dict[str, Any]) -> datetime:
    timestamp = message["timestamp"]
    return timestamp if isinstance(timestamp, datetime) else datetime.fromisoformat(timestamp)
