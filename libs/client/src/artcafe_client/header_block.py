"""Header blocks of NATS messages, as the broker sends them."""

_VERSION = b"NATS/1.0"
_PLATFORM_PREFIXES = ("nats-", "artcafe-")


def parse_status(block: bytes) -> str:
    """The status with which the broker begins its own messages, such as `404`; empty for messages of others."""
    line = block[len(_VERSION) : block.find(b"\r\n")]
    return line.strip().partition(b" ")[0].decode(errors="replace")


def parse_headers(block: bytes) -> dict[str, str]:
    """All headers; repeated ones are joined by commas."""
    headers: dict[str, str] = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon and name.isascii() and name.strip():
            key, text = name.strip().decode(), value.strip().decode(errors="replace")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def publishers_headers(headers: dict[str, str]) -> dict[str, str]:
    """The headers that the publisher has set, without those of the broker and of the platform."""
    return {name: text for name, text in headers.items() if not name.lower().startswith(_PLATFORM_PREFIXES)}
