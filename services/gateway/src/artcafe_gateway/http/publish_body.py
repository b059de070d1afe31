"""The body of a published message: any JSON, or `{data, headers?}`."""

import msgspec

from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_gateway.wire.headers import bad_headers, validate_headers


class PublishBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form with headers. An object with any other field is the message itself."""

    data: msgspec.Raw
    headers: msgspec.Raw = msgspec.Raw(b"{}")


def parse_publish_body(raw: bytes) -> tuple[bytes, dict[str, str]]:
    """The payload, unchanged, and its headers; InvalidRequest when the body is not JSON, BadHeaders."""
    try:
        str(raw, "utf-8")
        msgspec.json.decode(raw, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        field_error = FieldError(field="body", message="Not valid JSON in UTF-8")
        raise InvalidRequest(field_error.message, errors=(field_error,)) from None
    try:
        envelope = msgspec.json.decode(raw, type=PublishBody)
    except (msgspec.ValidationError, RecursionError):
        return raw.strip(), {}
    try:
        headers = msgspec.json.decode(envelope.headers, type=dict[str, str])
    except (msgspec.ValidationError, RecursionError):
        raise bad_headers("headers must be an object of strings") from None
    return bytes(envelope.data), validate_headers(headers)
