"""The messages that are rendered without a `BrokerMessage`: nearly all of them.

Such a message has no reply subject and no headers of its publisher, and its payload is JSON. Its frame is the head of its
subject, the payload as it is, and the sender and time. Any other message is rendered field by field.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from artcafe_gateway.delivery.message import MAX_PAYLOAD_BYTES, MessageFrames, as_json
from artcafe_gateway.delivery.read_time import ReadTime
from artcafe_gateway.delivery.signatures import MessageSigner

# Renders what precedes the payload, from the subject and the channel's id.
Head = Callable[[str, str | None], bytes]
# For the other fields of a frame there are 48 KiB more.
MAX_PLAIN_BYTES = MAX_PAYLOAD_BYTES // 2


def find_head(render: Any) -> Head | None:
    """What renders the head of the frames that `render` renders; None if their form is another."""
    if isinstance(render, partial) and isinstance(render.func, MessageFrames):
        return partial(render.func.head, **render.keywords)
    return render.head if isinstance(render, MessageFrames) else None


def find_plain_tail(
    signer: MessageSigner, subject: bytes, payload: bytes, block: bytes, read_time: ReadTime
) -> bytes:
    """What follows the payload in the frame of a message without reply; empty if it is none of these messages."""
    if len(payload) > MAX_PLAIN_BYTES:
        return b""
    if not block:
        return read_time.field if as_json(payload) is payload else b""
    sender = signer.verify_sender(subject, payload, block, read_time)
    if sender is None:
        return b""
    # What a gateway has signed is JSON.
    return b',"from":"%b"%b' % (sender, read_time.field) if sender else read_time.field
