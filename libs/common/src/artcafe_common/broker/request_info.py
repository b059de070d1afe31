"""The broker's statement of who sent a message that crosses an account's border."""

REQUEST_INFO_HEADER = "Nats-Request-Info"
_CRLF = b"\r\n"


def keep_only_the_brokers(headers: bytes, parsed: dict[str, str]) -> None:
    """Replace the statement in parsed headers by the broker's own, or remove one that the sender wrote.

    The broker appends it as the last line. A line elsewhere is the sender's: it can survive with white space before
    its colon, and the broker's own be swallowed by an unfinished line that the sender put before it.
    """
    if REQUEST_INFO_HEADER not in parsed:
        return
    name, _, value = headers.removesuffix(2 * _CRLF).rpartition(_CRLF)[2].partition(b":")
    if name == REQUEST_INFO_HEADER.encode():
        parsed[REQUEST_INFO_HEADER] = value.strip().decode()
    else:
        del parsed[REQUEST_INFO_HEADER]
