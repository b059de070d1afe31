"""What was published over one life of a bridge's connection."""

from artcafe_gateway.bridges.connection import BridgeConnection


class ConnectionCounters:
    """One life of the connection, and what was published over it.

    `unconfirmed` becomes `confirmed` with the next flush; what is still unconfirmed when the
    connection breaks is left to the broker's own count.
    """

    def __init__(self, nc: BridgeConnection) -> None:
        self.nc = nc
        self.server = nc.server_id
        self.cid = nc.client_id or 0
        self.confirmed_messages = 0
        self.confirmed_bytes_in = 0
        self.unconfirmed: dict[tuple[str, str], list[int]] = {}
        self.stream_requests = 0

    def record_publish(self, client_id: str, channel_id: str, payload: bytes, headers: bytes) -> None:
        """Note one published message: its payload, and what the broker sees of it (with headers)."""
        counts = self.unconfirmed.get((client_id, channel_id))
        if counts is None:
            counts = self.unconfirmed[client_id, channel_id] = [0, 0, 0]
        size = len(payload)
        counts[0] += 1
        counts[1] += size
        counts[2] += size + len(headers)

    def record_stream_request(self, payload: bytes) -> None:
        """Note a payload to the broker itself: it is in the broker's count, and nobody's message."""
        self.stream_requests += 1
        self.confirmed_messages += 1
        self.confirmed_bytes_in += len(payload)
