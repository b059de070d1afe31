"""Validation of the headers that a client sets on its messages."""

import re

from artcafe_common.bus.errors import CommandError, FieldError

MAX_HEADERS = 32
MAX_HEADER_BYTES = 4096
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_RESERVED_PREFIXES = ("nats-", "artcafe-")


class BadHeaders(CommandError):
    """The message has too many or too long headers, or a header's name or value is malformed or reserved."""

    status = 400
    code = "bad_headers"
    title = "The headers are not valid"
    remedy = (
        f"Send at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes in total. A name is a token that does "
        "not start with Nats- or Artcafe-; a value is one printable line."
    )


def bad_headers(message: str) -> BadHeaders:
    """A BadHeaders error that names the field `headers`."""
    return BadHeaders(message, errors=(FieldError(field="headers", message=message),))


def validate_headers(headers: dict[str, str]) -> dict[str, str]:
    """Returns the headers; BadHeaders if the broker cannot carry them unchanged."""
    if len(headers) > MAX_HEADERS:
        raise bad_headers(f"a message has at most {MAX_HEADERS} headers")
    size = 0
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or name.lower().startswith(_RESERVED_PREFIXES):
            raise bad_headers("a header's name is a token that does not start with Nats- or Artcafe-")
        if any(character in value for character in "\r\n\0") or not value.isprintable():
            raise bad_headers("a header's value is one printable line")
        size += len(name) + len(value.encode("utf-8", "replace"))
    if size > MAX_HEADER_BYTES:
        raise bad_headers(f"headers have at most {MAX_HEADER_BYTES} bytes in total")
    return headers
