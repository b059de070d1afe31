"""Handles the frames of an accepted WebSocket.

With the gateway's own transport a task runs only while there is something to handle: an idle socket keeps neither a task
nor what the server and the framework hold for a request, about 10 KiB.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from artcafe_common.bus.errors import CommandError, InternalError
from artcafe_gateway.wire.socket import NothingReceived, PeerDisconnected, Socket

log = structlog.get_logger()


async def serve_frames(
    socket: Socket,
    decoder: "msgspec.json.Decoder[Any]",
    handle: Callable[[Any], Awaitable[None]],
    end: Callable[[], Awaitable[None]],
) -> None:
    """Pass frames to `handle` until the connection ends, and then call `end`; may return at once and do so in tasks.

    Errors of `handle` become error frames.
    """
    frame_loop = FrameLoop(socket, decoder, handle, end)
    if not socket.detach(frame_loop.wake):
        await frame_loop.run()


class FrameLoop:
    """Handles the frames of a socket, one after another."""

    __slots__ = ("_context", "_decoder", "_end", "_handle", "_is_running", "_socket")

    def __init__(
        self,
        socket: Socket,
        decoder: "msgspec.json.Decoder[Any]",
        handle: Callable[[Any], Awaitable[None]],
        end: Callable[[], Awaitable[None]],
    ) -> None:
        self._socket = socket
        self._decoder = decoder
        self._handle = handle
        self._end = end
        self._is_running = False
        # The caller of the commands that frames lead to, and their trace.
        self._context = contextvars.copy_context()

    def wake(self) -> None:
        """Starts a task that handles what was received, unless there is one."""
        if self._is_running:
            return
        protocol = self._socket.send_queue.protocol
        self._is_running, protocol.idle = True, False
        # The server waits for these when it shuts down.
        task = protocol.loop.create_task(self.run(), context=self._context)
        protocol.tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        self._socket.send_queue.protocol.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("socket_not_ended", exc_info=error)

    async def run(self) -> None:
        """Handles frames until the connection ends, or until there are none to take."""
        try:
            while True:
                received = await self._socket.receive_frame(self._decoder)
                await self._handle_one(received)
        except NothingReceived:
            self._is_running, self._socket.send_queue.protocol.idle = False, True
        except PeerDisconnected:
            await self._end()
        except BaseException:
            await self._end()
            raise

    async def _handle_one(self, received: Any) -> None:
        try:
            await self._handle(received)
        except CommandError as error:
            self._socket.reject(error, received)
        except Exception:
            log.exception("frame_failed", frame=type(received).__name__)
            self._socket.send_error(InternalError(), getattr(received, "id", None))
