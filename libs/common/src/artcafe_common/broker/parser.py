r"""Parses what a nats-server sends, exactly as the server wrote it.

nats-py 2.16 splits control lines at any white space, which includes bytes that the server allows in a subject: the
message `MSG a\x0b7 5 2` on the subject `a\x0b7` is then delivered to subscription 7 instead of 5, and `a\r7` ends
the connection. This parser splits at the single spaces that the server writes.
"""

from typing import Any, Protocol

import msgspec
from nats.errors import ProtocolError

# Longer than the longest line that an installation's broker accepts or sends, except INFO with many servers.
MAX_LINE_BYTES = 64 * 1024
_CRLF = b"\r\n"
_MSG_ARGUMENTS = 3
_HMSG_ARGUMENTS = 4


class Receiver(Protocol):
    """What the parser calls; the methods of nats-py's client."""

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None: ...
    async def _process_ping(self) -> None: ...
    async def _process_pong(self) -> None: ...
    async def _process_err(self, err_msg: str) -> None: ...
    async def _process_info(self, info: dict[str, Any]) -> None: ...


class StreamParser:
    """The parser of one connection; bytes of an incomplete line or message wait for the next call."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.reset()

    def reset(self) -> None:
        """Forget an incomplete message."""
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        # The total size at which parsing can go on.
        self._needed = 0

    async def parse(self, data: bytes) -> None:
        """Process everything that is complete. Raises ProtocolError for anything that a server does not send."""
        if self._waiting:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes < self._needed:
                return
            data = b"".join(self._waiting)
            self.reset()
        position = 0
        while position < len(data):
            end = data.find(_CRLF, position)
            if end < 0:
                if len(data) - position > MAX_LINE_BYTES:
                    raise ProtocolError
                self._wait(data[position:], len(data) - position + 1)
                return
            if data.startswith((b"MSG ", b"HMSG "), position):
                following = await self._parse_message(data, position, end)
                if not following:
                    return
                position = following
            else:
                await self._parse_line(data[position:end])
                position = end + len(_CRLF)

    def _wait(self, data: bytes, needed: int) -> None:
        self._waiting, self._waiting_bytes, self._needed = [data], len(data), needed

    async def _parse_message(self, data: bytes, position: int, end: int) -> int:
        """The position after the message; 0 if its payload is not complete."""
        operation, *arguments = data[position:end].split(b" ")
        with_headers = operation == b"HMSG"
        expected = _HMSG_ARGUMENTS if with_headers else _MSG_ARGUMENTS
        reply = b""
        if len(arguments) == expected + 1:
            reply = arguments.pop(2)
        if len(arguments) != expected:
            raise ProtocolError
        try:
            sid, header_size, size = int(arguments[1]), int(arguments[2]), int(arguments[-1])
        except ValueError:
            raise ProtocolError from None
        start = end + len(_CRLF)
        stop = start + size
        following = stop + len(_CRLF)
        if len(data) < following:
            self._wait(data[position:], following - position)
            return 0
        if with_headers:
            headers, payload = data[start : start + header_size], data[start + header_size : stop]
            await self._receiver._process_msg(sid, arguments[0], reply, payload, headers)
        else:
            await self._receiver._process_msg(sid, arguments[0], reply, data[start:stop], None)
        return following

    async def _parse_line(self, line: bytes) -> None:
        operation = line.split(b" ", 1)[0].rstrip()
        receiver = self._receiver
        if operation == b"PING":
            await receiver._process_ping()
        elif operation == b"PONG":
            await receiver._process_pong()
        elif operation == b"-ERR":
            # An error names the subject that it is about, in any bytes.
            text = line[len(b"-ERR") :].strip().decode("utf-8", "replace")
            await receiver._process_err(text.lower())
        elif operation == b"INFO":
            try:
                info = msgspec.json.decode(line[len(b"INFO") :])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise ProtocolError from None
            await receiver._process_info(info)
        elif operation != b"+OK":
            raise ProtocolError
