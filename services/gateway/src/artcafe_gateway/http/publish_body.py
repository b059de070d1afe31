"""The body of a published message: any JSON, or `{data, headers?, message_id?}`."""

import msgspec

from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_gateway.wire.frames import MessageId
from artcafe_gateway.wire.headers import bad_headers, validate_headers
from artcafe_gateway.wire.parsing import LONE_SURROGATE, has_lone_surrogate


class PublishBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form with headers and an id. An object with any other field is the message itself."""

    data: msgspec.Raw
    headers: msgspec.Raw = msgspec.Raw(b"{}")
    message_id: msgspec.Raw = msgspec.Raw(b"")


def parse_publish_body(raw: bytes) -> tuple[bytes, dict[str, str], str | None]:
    """The payload, unchanged, its headers and id; BadHeaders, InvalidRequest when the body is not JSON."""
    try:
        str(raw, "utf-8")
        msgspec.json.decode(raw, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = LONE_SURROGATE if has_lone_surrogate(raw) else "Not valid JSON in UTF-8"
        field_error = FieldError(field="body", message=message)
        raise InvalidRequest(field_error.message, errors=(field_error,)) from None
    try:
        envelope = msgspec.json.decode(raw, type=PublishBody)
    except (msgspec.ValidationError, RecursionError):
        return raw.strip(), {}, None
    try:
        headers = msgspec.json.decode(envelope.headers, type=dict[str, str])
    except (msgspec.ValidationError, RecursionError):
        raise bad_headers("headers must be an object of strings") from None
    return bytes(envelope.data), validate_headers(headers), _parse_message_id(envelope.message_id)


def _parse_message_id(raw: msgspec.Raw) -> str | None:
    if not bytes(raw):
        return None
    try:
        return msgspec.json.decode(raw, type=MessageId)
    except (msgspec.ValidationError, RecursionError):
        field_error = FieldError(
            field="message_id", message="Expected 1 to 128 printable ASCII characters, no spaces"
        )
        raise InvalidRequest(field_error.message, errors=(field_error,)) from None
