"""nats-py, with what a client has to know at once, and with a short way for messages.

nats-py 2.16 writes the PING of `flush` ahead of the publishes that still wait, its reading loop ends without a word on
some errors, and each of its subscriptions has a queue and a task of its own. All of that is replaced here, with private
parts of nats-py and nowhere else.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import nats.errors
from nats.aio.client import Client as Nats
from nats.protocol.command import sub_cmd

# Takes the subject, the reply subject, the payload and the block of headers of a message; called while reading, so it is
# short.
Sink = Callable[[bytes, bytes, bytes, "bytes | None"], None]
log = logging.getLogger("artcafe_client")


class NatsClient(Nats):
    """One connection, which does not reconnect by itself; `ended` is done when it has ended for any reason."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._sinks: dict[int, Sink] = {}
        # Messages that could not be passed on.
        self.dropped = 0

    @property
    def connected_server_id(self) -> str:
        """The id of the connected server's process."""
        return str(self._server_info.get("server_id", ""))

    async def open(self, servers: list[str], **options: Any) -> None:
        """Connects to one of the servers, each tried once."""
        await self.connect(
            servers, allow_reconnect=False, max_reconnect_attempts=0, closed_cb=self._on_closed, **options
        )
        if self.is_connected:
            self._accepted.set_result(None)
        reading = getattr(self, "_reading_task", None)
        if reading is not None:
            reading.add_done_callback(lambda _: self._set_ended())
        # nats-py takes any first line for the answer, also the PING of a broker that is still checking the key.
        await asyncio.wait({self._accepted, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        if self.ended.done():
            raise self.last_error or nats.errors.ConnectionClosedError

    # -- sending -------------------------------------------------------------------------------

    def enqueue(self, command: bytes, payload: bytes) -> bool:
        """Queue a message without headers; returns whether to wait for `write_pending` before the next one.

        `command` is `PUB subject ` of a valid subject. ConnectionClosedError, MaxPayloadError.
        """
        queue = self._flush_queue
        if queue is None or not self.is_connected:
            raise nats.errors.ConnectionClosedError
        size = len(payload)
        if size > self._max_payload:
            raise nats.errors.MaxPayloadError
        line = b"%b%d\r\n%b\r\n" % (command, size, payload)
        self._pending.append(line)
        self._pending_data_size += len(line)
        if queue.empty():
            queue.put_nowait(self._loop.create_future())
        return self._pending_data_size > self._max_pending_size

    async def write_pending(self) -> None:
        """Returns when what is queued has been handed to the system."""
        await self._flush_pending(force_flush=True)

    async def flush(self, timeout: int = 10) -> None:
        """Returns when the broker has processed everything sent before; ConnectionClosedError if the connection ends."""
        work = asyncio.ensure_future(self._flush_in_order(timeout))
        try:
            await asyncio.wait({work, self.ended}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise nats.errors.ConnectionClosedError
            await work
            if self.ended.done():
                raise nats.errors.ConnectionClosedError
        finally:
            work.cancel()

    async def _flush_in_order(self, timeout: int) -> None:
        await self._flush_pending(force_flush=True)
        await super().flush(timeout)

    # -- receiving -----------------------------------------------------------------------------

    async def listen(self, subject: str, queue: str, sink: Sink) -> int:
        """Subscribe; `sink` gets each message as soon as it is read. Returns the subscription's number."""
        if not self.is_connected:
            raise nats.errors.ConnectionClosedError
        self._sid += 1
        number = self._sid
        self._sinks[number] = sink
        await self._send_command(sub_cmd(subject, queue, number))
        await self._flush_pending()
        return number

    async def stop_listening(self, number: int) -> None:
        """Unsubscribe. What has arrived was passed on; what is still on its way is not."""
        if self._sinks.pop(number, None) is not None and self.is_connected:
            await self._send_unsubscribe(number)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: "bytes | None"
    ) -> None:
        sink = self._sinks.get(sid)
        try:
            if sink is not None:
                sink(subject, reply, data, headers)
            else:
                await super()._process_msg(sid, subject, reply, data, headers)  # type: ignore[arg-type]
        except Exception as error:
            # Others choose what is in a message: it must not end the reading loop, nor fill the log.
            log.log(logging.DEBUG if self.dropped else logging.WARNING, "a message was dropped: %r", error)
            self.dropped += 1

    async def _process_pong(self) -> None:
        # nats-py's reading loop ends at a PONG for which nobody waits any more.
        if self._pongs and self._pongs[0].done():
            self._pongs.pop(0)
            self._pings_outstanding = 0
        else:
            await super()._process_pong()
        if self.is_connecting:
            self._status = Nats.CONNECTED
            # The one of before has ended, because there was no connection yet.
            self._flusher_task = asyncio.get_running_loop().create_task(self._flusher())
            self._accepted.set_result(None)

    # ------------------------------------------------------------------------------------------

    async def _on_closed(self) -> None:
        self._set_ended()

    def _set_ended(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
