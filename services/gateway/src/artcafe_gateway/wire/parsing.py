"""Decoding of WebSocket messages into frames."""

import re
from typing import Any

import msgspec

from artcafe_common.bus.errors import CommandError
from artcafe_common.validation import describe_error
from artcafe_gateway.wire.frames import MAX_ID, MAX_NUMBER


class NotJson(CommandError):
    """The message is not JSON text in UTF-8."""

    status = 400
    code = "not_json"
    title = "The frame is not JSON"
    remedy = (
        "Send one JSON object per message. Three messages in a row that are not JSON close the connection."
    )


class UnknownType(CommandError):
    """The endpoint has no frame of this `type`."""

    status = 400
    code = "unknown_type"
    title = "The frame's type is unknown"
    remedy = "Send a type that the AsyncAPI document lists for this endpoint."


class BadFrame(CommandError):
    """A field of the frame is missing, malformed, or conflicts with another."""

    status = 400
    code = "bad_frame"
    title = "The frame is not valid"
    remedy = "Correct the field named in the message; the AsyncAPI document has the schema of each frame."


LONE_SURROGATE = "a string has a surrogate escape (\\ud800 to \\udfff) without its other half"
# Every escape of JSON text, so that an escaped backslash is not taken for the start of one.
_ESCAPE = re.compile(
    rb"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\."
)
_REPLACEMENT = rb"\ufffd"


class _FrameWithId(msgspec.Struct, frozen=True):
    id: Any = None


def parse_frame(decoder: "msgspec.json.Decoder[Any]", data: bytes) -> Any:
    """Returns the frame in a message; NotJson, UnknownType, BadFrame."""
    try:
        # msgspec does not check the encoding of raw and skipped values.
        str(data, "utf-8")
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _validation_error(describe_error(str(error), decoder.type)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        if has_lone_surrogate(data):
            raise BadFrame(LONE_SURROGATE) from None
        raise NotJson from None
    except RecursionError:
        raise BadFrame("the frame is nested too deeply") from None


def parse_frame_id(data: bytes) -> str | int | None:
    """Returns the `id` of a message that is not a valid frame; None without a valid one."""
    try:
        frame_id = msgspec.json.decode(_replace_lone_surrogates(data), type=_FrameWithId).id
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    if isinstance(frame_id, bool) or not isinstance(frame_id, str | int):
        return None
    valid = abs(frame_id) <= MAX_NUMBER if isinstance(frame_id, int) else len(frame_id) <= MAX_ID
    return frame_id if valid else None


def has_lone_surrogate(data: bytes) -> bool:
    """Whether text that cannot be decoded is JSON but for surrogate escapes without their other half.

    Its syntax is valid, but many parsers, msgspec among them, refuse such strings, so it is not delivered.
    """
    replaced = _replace_lone_surrogates(data)
    if replaced == data:
        return False
    try:
        str(replaced, "utf-8")
        msgspec.json.decode(replaced, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _replace_lone_surrogates(data: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: _REPLACEMENT if match["lone"] else match[0], data)


def _validation_error(message: str) -> CommandError:
    if message.endswith("`$.type`") and message.startswith("Invalid value"):
        return UnknownType()
    if "missing required field `type`" in message:
        return BadFrame("the frame has no type")
    return BadFrame(message)
