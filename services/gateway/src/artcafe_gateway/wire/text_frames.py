"""The WebSocket frames that carry nearly all messages, read and written in a few steps each.

A message normally arrives as one masked text frame without fragments. `TextFrameProtocol` reads these itself. The library
receives every other frame, byte for byte, and decides what it means: control frames, fragments, binary frames, frames
that are too large or malformed, and everything before the end of the handshake and after a close.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import CONNECTING, OPEN

try:
    from websockets.speedups import apply_mask
except ImportError:  # without a compiled wheel
    from websockets.utils import apply_mask

# The subprotocol in which a text frame, in either direction, contains one or more messages, each on a line of its own.
BATCH_PROTOCOL = "artcafe.v1.batch"
# The first byte of a text frame without fragments and extensions.
_WHOLE_TEXT = 0x81
# The second byte of a masked frame: the length, or how many bytes of length follow.
_MASKED, _MASKED_16_BIT, _MASKED_64_BIT = 0x80, 0xFE, 0xFF
_MAX_7_BIT, _MAX_16_BIT = 125, 0xFFFF
_UNKNOWN_OPCODES = frozenset((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))


def frame_head(size: int) -> bytes:
    """What precedes `size` bytes of text in an unmasked text frame (server to client)."""
    if size <= _MAX_7_BIT:
        return b"\x81%c" % size
    if size <= _MAX_16_BIT:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


def text_frame(payload: bytes) -> bytes:
    """Encodes an unmasked text frame (server to client)."""
    return frame_head(len(payload)) + payload


def line_frame(payload: bytes) -> bytes:
    """Encodes an unmasked text frame with one message in the batch subprotocol."""
    # Line breaks in JSON are white space between its tokens.
    return text_frame(payload.replace(b"\n", b" "))


class TextFrameProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, except that whole text frames go straight to `receive_text`.

    The library is at the start of a frame whenever `_frame_left` is 0.
    """

    # The first bytes of a frame, until its header is complete.
    _header = b""
    # Bytes of the frame that the library is reading which have not arrived.
    _frame_left = 0
    # False if the library may have read a part of a frame before the handshake ended.
    _is_splitting = True

    def receive_text(self, data: bytes) -> None:
        """Handles the text of a message, which may be invalid UTF-8."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        if self._header:
            data, self._header = self._header + data, b""
        state = self.conn.state
        if state is not OPEN or not self._is_splitting:
            if state is CONNECTING and self.handshake_initiated:
                self._is_splitting = False
            super().data_received(data)
        elif self._frame_left:
            position, self._frame_left = self._frame_left, max(0, self._frame_left - len(data))
            super().data_received(data[:position])
            self._read_frames(data, position)
        else:
            self._read_frames(data, 0)

    def _read_frames(self, data: bytes, position: int) -> None:  # noqa: C901 - calls for each frame would cost more
        """Reads the frames from a position on, at which one begins."""
        conn, size = self.conn, len(data)
        # The library checks the size of whole messages.
        max_size = conn.max_message_size or size
        is_between_messages = conn.current_size is None
        while position + 1 < size:
            length, start = data[position + 1], position + 6
            if length < _MASKED or data[position] & 0x0F in _UNKNOWN_OPCODES:
                # The library ends the connection.
                break
            if length == _MASKED_16_BIT:
                start += 2
                length = int.from_bytes(data[position + 2 : position + 4], "big")
            elif length == _MASKED_64_BIT:
                start += 8
                length = int.from_bytes(data[position + 2 : position + 10], "big")
            else:
                length -= _MASKED
            if start > size:
                if start - 4 > size or length <= max_size:
                    self._header = data[position:]
                    return
                break
            end = start + length
            if data[position] == _WHOLE_TEXT and end <= size and is_between_messages and length <= max_size:
                self.receive_text(apply_mask(data[start:end], data[start - 4 : start]))
            else:
                self._frame_left = max(0, end - size)
                super().data_received(data[position:end])
                if conn.state is not OPEN:
                    position = end
                    break
                is_between_messages = conn.current_size is None
            position = end
        if position + 1 < size or (position < size and conn.state is not OPEN):
            super().data_received(data[position:])
        elif position < size:
            self._header = data[position:]
