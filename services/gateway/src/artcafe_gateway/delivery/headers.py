"""Header blocks of NATS messages, as bytes."""

import re

# What a frame or a page shows of the headers of one message; further headers are omitted.
MAX_HEADERS = 64
MAX_HEADER_BYTES = 16 * 1024
_NAME = re.compile(rb"[!-9;-~]+")
_PLATFORM_PREFIXES = (b"nats-", b"artcafe-")


def last_header(block: bytes, name: bytes) -> str | None:
    """The value of the last header `name`, or None.

    The broker appends its headers (`Nats-…`); a publisher may have set headers of the same names before them.
    """
    at = block.rfind(b"\r\n%b:" % name)
    if at < 0:
        return None
    start = at + len(name) + 3
    end = block.find(b"\r\n", start)
    return block[start : end if end >= 0 else len(block)].strip().decode(errors="replace")


def parse_headers(lines: bytes) -> dict[str, str]:
    """The publisher's headers in header lines, without those of the platform; repeated ones are joined by commas."""
    headers: dict[str, str] = {}
    size = 0
    for line in lines.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or name.lower().startswith(_PLATFORM_PREFIXES):
            continue
        size += len(line)
        if size > MAX_HEADER_BYTES:
            break
        key, text = name.decode(), value.strip().decode(errors="replace")
        if key in headers:
            headers[key] = f"{headers[key]}, {text}"
        elif len(headers) < MAX_HEADERS:
            headers[key] = text
    return headers
