"""Headers that a client gives its message."""

import re

from artcafe_common.bus.errors import CommandError, FieldError

MAX_HEADERS = 32
MAX_HEADER_BYTES = 4096
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_RESERVED = ("nats-", "artcafe-")


class BadHeaders(CommandError):
    """Too many, too long, malformed, or names that the platform keeps for itself."""

    status = 400
    code = "bad_headers"
    title = "The headers are not valid"


def bad_headers(message: str) -> BadHeaders:
    """The refusal of headers, and why."""
    return BadHeaders(message, errors=(FieldError(field="headers", message=message),))


def validate_headers(headers: dict[str, str]) -> dict[str, str]:
    """The same headers; BadHeaders when the broker could not carry them as they are."""
    if len(headers) > MAX_HEADERS:
        raise bad_headers(f"a message has at most {MAX_HEADERS} headers")
    size = 0
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or name.lower().startswith(_RESERVED):
            raise bad_headers("a header's name is a token, and does not begin with Nats- or Artcafe-")
        if any(character in value for character in "\r\n\0") or not value.isprintable():
            raise bad_headers("a header's value is one printable line")
        size += len(name) + len(value.encode("utf-8", "replace"))
    if size > MAX_HEADER_BYTES:
        raise bad_headers(f"headers take at most {MAX_HEADER_BYTES} bytes")
    return headers
