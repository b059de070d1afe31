"""The errors that the client raises.

Those of the server are one class for each code, in `error_codes`, which is generated from the server's own.
"""

from typing import Any, ClassVar


class ArtcafeError(Exception):
    """The base of every error of this package."""


class ConfigurationError(ArtcafeError):
    """`connect` was given too little, or values that contradict each other."""


class ConnectionFailed(ArtcafeError):
    """The server could not be reached in time."""


class NotConnected(ArtcafeError):
    """There is no connection now, and the client has no offline buffer; nothing was sent."""


class ConnectionLost(ArtcafeError):
    """The connection broke before the answer arrived."""


class NotSupported(ArtcafeError):
    """The connection's transport cannot do this; the text says which one can."""


class ClientClosed(ArtcafeError):
    """The client was closed or drained."""


class OfflineBufferFull(ArtcafeError):
    """The offline buffer has no room for another message; nothing was sent."""


class SlowSubscriber(ArtcafeError):
    """A subscription's queue was full, and its overflow policy is to end it."""


class Gap(ArtcafeError):
    """Messages of a channel are not kept any more: those with a `seq` from `from_seq` to `to_seq`.

    Iterating a subscription raises it once, before the first message that is still kept; iterating again continues
    there. With `on_gap`, it is passed to that callback instead.
    """

    def __init__(self, channel: str, from_seq: int, to_seq: int) -> None:
        super().__init__(f"messages {from_seq} to {to_seq} of channel {channel} are not kept any more")
        self.channel = channel
        self.from_seq = from_seq
        self.to_seq = to_seq


class ServerError(ArtcafeError):
    """The server answered with an error; each code has a class of its own in `artcafe_client.error_codes`.

    `retry_after_s` is the shortest time before a retry, if the server named one; `detail` depends on the code.
    """

    code: ClassVar[str] = ""
    status: ClassVar[int] = 0
    remedy: ClassVar[str] = ""

    def __init__(self, message: str = "", *, retry_after_s: float | None = None, detail: Any = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip() or self.code)
        self.message = str(self)
        self.retry_after_s = retry_after_s
        self.detail = detail
        # The id of the message that was published to a channel: with it, it can be published again.
        self.message_id: str | None = None


class UnknownError(ServerError):
    """The server answered with a code that this version of the package does not know."""

    def __init__(
        self, message: str = "", *, code: str = "", retry_after_s: float | None = None, detail: Any = None
    ) -> None:
        super().__init__(message or code, retry_after_s=retry_after_s, detail=detail)
        self.unknown_code = code


class AccessRevoked(ArtcafeError):
    """The client's access was revoked: it was deleted or suspended, or its key was replaced. Its text says which."""
