"""The WebSocket's frames: of one message each, or of several lines with the subprotocol `artcafe.v1.batch`."""

import asyncio

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from artcafe_client.errors import ConnectionLost

SUBPROTOCOL = "artcafe.v1.batch"
# The gateway handles larger frames in several turns.
MAX_JOINED_BYTES = 16 * 1024


class FrameSender:
    """Sends messages in order: the first of a turn of the event loop at once, the others as lines of one frame."""

    def __init__(self, ws: ClientConnection) -> None:
        self._ws = ws
        self._is_batch = ws.subprotocol == SUBPROTOCOL
        self._lines: list[bytes] = []
        # Done when the lines were sent.
        self._sent: asyncio.Future[None] | None = None
        self._is_busy = False
        self._task: asyncio.Task[None] | None = None

    def split(self, data: bytes) -> list[bytes]:
        """The messages of a received frame."""
        return data.split(b"\n") if self._is_batch else [data]

    async def send(self, message: bytes) -> None:
        """Returns when the connection has the message; it waits while the server reads too slowly. ConnectionLost."""
        if self._is_busy:
            # Line breaks in JSON are white space between its tokens.
            self._lines.append(message.replace(b"\n", b" "))
            if self._sent is None:
                self._sent = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._sent)
            return
        if self._is_batch:
            self._is_busy = True
            asyncio.get_running_loop().call_soon(self._end_turn)
            message = message.replace(b"\n", b" ")
        await self._send(message)

    async def _send(self, frame: bytes) -> None:
        try:
            await self._ws.send(frame, text=True)
        except ConnectionClosed:
            raise ConnectionLost("the connection was lost") from None

    def _end_turn(self) -> None:
        if self._lines:
            self._task = asyncio.get_running_loop().create_task(self._send_lines())
        else:
            self._is_busy = False

    async def _send_lines(self) -> None:
        while self._lines:
            lines, self._lines = self._lines, []
            sent, self._sent = self._sent, None
            error: Exception | None = None
            try:
                for frame in _join(lines):
                    await self._send(frame)
            except Exception as failure:
                # Passed on to those that wait for these lines.
                error = failure
            if sent is None or sent.done():
                continue
            if error is None:
                sent.set_result(None)
            else:
                sent.set_exception(error)
                # Without it, asyncio warns if no task waits for the result.
                sent.exception()
        self._is_busy = False


def _join(lines: list[bytes]) -> list[bytes]:
    frames: list[bytes] = []
    part: list[bytes] = []
    size = 0
    for line in lines:
        if part and size + len(line) > MAX_JOINED_BYTES:
            frames.append(b"\n".join(part))
            part, size = [], 0
        part.append(line)
        size += len(line) + 1
    return [*frames, b"\n".join(part)]
