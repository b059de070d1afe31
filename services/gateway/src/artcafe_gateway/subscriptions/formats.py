"""The forms in which messages are written to a connection: WebSocket frames, and server-sent events."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from artcafe_gateway.delivery.message import BrokerMessage, message_frame
from artcafe_gateway.wire.events import encode_event
from artcafe_gateway.wire.frames import Gap, ServerFrame
from artcafe_gateway.wire.text_frames import line_frame, text_frame

# EventSource has an event `error` of its own.
_PROBLEM = "problem"
_ERROR_FRAME = b'{"type":"error"'


class MessageRender(Protocol):
    """Writes the JSON text of a message's frame."""

    def __call__(self, message: BrokerMessage, subject: str, *, queue: str = "") -> bytes:
        """The frame, with the subject in the subscriber's form; `queue` is the group that it is for."""


class FrameFormat(NamedTuple):
    """How frames are written: `render` writes a message, and `wrap` what is sent for it.

    `name` tells formats apart, and `encode` writes what is sent for another frame.
    """

    name: str
    render: MessageRender
    wrap: Callable[[bytes], bytes]
    encode: Callable[[ServerFrame], bytes]


def _encode_frame(frame: ServerFrame) -> bytes:
    return text_frame(msgspec.json.encode(frame))


def _render_event(message: BrokerMessage, subject: str, *, queue: str = "") -> bytes:
    frame = message_frame(message, subject, queue=queue)
    # In place of a message that is too large.
    name = _PROBLEM if frame.startswith(_ERROR_FRAME) else "message"
    return encode_event(frame, name, message.seq or None)


def _encode_frame_as_event(frame: ServerFrame) -> bytes:
    name = str(frame.__struct_config__.tag)
    # A client that has been told of a gap resumes after it.
    event_id = frame.to_seq if isinstance(frame, Gap) else None
    return encode_event(msgspec.json.encode(frame), _PROBLEM if name == "error" else name, event_id)


WEBSOCKET_FORMAT = FrameFormat("message", message_frame, text_frame, _encode_frame)
# Of the batch subprotocol.
BATCH_FORMAT = FrameFormat("batch", message_frame, line_frame, _encode_frame)
EVENT_STREAM_FORMAT = FrameFormat("event", _render_event, bytes, _encode_frame_as_event)
