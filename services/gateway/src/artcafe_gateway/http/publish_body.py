"""The body of a published message: any JSON, or `{data, headers?}`."""

import msgspec

from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_gateway.wire.headers import bad_headers, validate_headers


class PublishBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form with headers; an object with any other field is data itself."""

    data: msgspec.Raw
    headers: msgspec.Raw = msgspec.Raw(b"{}")


def parse_publish_body(raw: bytes) -> tuple[bytes, dict[str, str]]:
    """The payload as it was written, and its headers; InvalidRequest when it is not JSON, BadHeaders."""
    try:
        str(raw, "utf-8")
        msgspec.json.decode(raw, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = FieldError(field="body", message="Not valid JSON in UTF-8")
        raise InvalidRequest(problem.message, errors=(problem,)) from None
    try:
        envelope = msgspec.json.decode(raw, type=PublishBody)
    except (msgspec.ValidationError, RecursionError):
        return raw.strip(), {}
    try:
        headers = msgspec.json.decode(envelope.headers, type=dict[str, str])
    except (msgspec.ValidationError, RecursionError):
        raise bad_headers("headers are an object of texts") from None
    return bytes(envelope.data), validate_headers(headers)
