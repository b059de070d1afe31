"""Counters of what a bridge published over one connection."""

Unconfirmed = dict[tuple[str, str], list[int]]


class ConnectionCounters:
    """Messages and bytes published over one connection, until it breaks.

    A publish is unconfirmed until a flush returns. What is unconfirmed when the connection breaks is
    not reported: the broker's own count of the connection covers it. Confirmed bytes include headers,
    as in the broker's count.
    """

    def __init__(self) -> None:
        self.confirmed_messages = 0
        self.confirmed_bytes_in = 0
        # By client and channel: messages, payload bytes, bytes with headers.
        self.unconfirmed: Unconfirmed = {}

    def record_publish(self, key: tuple[str, str], payload_size: int, header_size: int) -> None:
        """Counts one published message, of a client and channel, as unconfirmed."""
        counts = self.unconfirmed.get(key)
        if counts is None:
            counts = self.unconfirmed[key] = [0, 0, 0]
        counts[0] += 1
        counts[1] += payload_size
        counts[2] += payload_size + header_size

    @property
    def changed(self) -> bool:
        """Whether anything was published since `take_unconfirmed`."""
        return bool(self.unconfirmed)

    def take_unconfirmed(self) -> Unconfirmed:
        """Returns the unconfirmed counts and starts new ones."""
        unconfirmed, self.unconfirmed = self.unconfirmed, {}
        return unconfirmed

    def confirm(self, unconfirmed: Unconfirmed) -> None:
        """Adds counts to the confirmed totals."""
        for messages, _, bytes_with_headers in unconfirmed.values():
            self.confirmed_messages += messages
            self.confirmed_bytes_in += bytes_with_headers
