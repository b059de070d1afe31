"""nats-py, with what a client has to know at once.

nats-py 2.16 writes the PING of `flush` ahead of the publishes that still wait, and its reading loop ends without a word
on some errors. Both are worked around here, with private parts of nats-py and nowhere else.
"""

import asyncio
from typing import Any

import nats.errors
from nats.aio.client import Client as Nats


class NatsClient(Nats):
    """One connection, which does not reconnect by itself; `ended` is done when it has ended for any reason."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

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

    async def _process_pong(self) -> None:
        await super()._process_pong()
        if self.is_connecting:
            self._status = Nats.CONNECTED
            # The one of before has ended, because there was no connection yet.
            self._flusher_task = asyncio.get_running_loop().create_task(self._flusher())
            self._accepted.set_result(None)

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

    async def _on_closed(self) -> None:
        self._set_ended()

    def _set_ended(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
