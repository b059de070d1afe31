"""From a WebSocket message to a frame, or to the reason why it is none."""

from typing import Any

import msgspec

from artcafe_common.bus.errors import CommandError
from artcafe_gateway.wire.frames import MAX_ID, MAX_NUMBER


class NotJson(CommandError):
    """The message is not JSON text in UTF-8."""

    status = 400
    code = "not_json"
    title = "The frame is not JSON"


class UnknownType(CommandError):
    """A `type` that this endpoint does not take."""

    status = 400
    code = "unknown_type"
    title = "The frame's type is not known here"


class BadFrame(CommandError):
    """A frame of a known type whose fields do not fit."""

    status = 400
    code = "bad_frame"
    title = "The frame's fields do not fit"


class _Id(msgspec.Struct, frozen=True):
    id: Any = None


def parse(decoder: "msgspec.json.Decoder[Any]", data: bytes) -> Any:
    """The frame in a message; NotJson, UnknownType or BadFrame otherwise."""
    try:
        # msgspec checks the text that it reads, but not what it skips and hands on raw.
        str(data, "utf-8")
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _unfit(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotJson from None
    except RecursionError:
        raise BadFrame("the frame is nested too deeply") from None


def id_of(data: bytes) -> str | int | None:
    """The `id` that a refused frame bore, if it is a usable one."""
    try:
        found = msgspec.json.decode(data, type=_Id).id
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    usable = abs(found) <= MAX_NUMBER if isinstance(found, int) else len(found) <= MAX_ID
    return found if usable else None


def _unfit(message: str) -> CommandError:
    if message.endswith("`$.type`") and message.startswith("Invalid value"):
        return UnknownType()
    if "missing required field `type`" in message:
        return BadFrame("the frame has no type")
    return BadFrame(message)
