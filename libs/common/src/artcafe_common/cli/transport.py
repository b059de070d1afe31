"""The interface of the two transports, WebSocket and NATS."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_code_for_error

REPLY_TIMEOUT_S = 10


class Subject(msgspec.Struct, frozen=True):
    """A subject, or with `is_channel` a channel id."""

    text: str
    is_channel: bool

    @property
    def fields(self) -> dict[str, str]:
        """The field of a WebSocket frame that names it."""
        return {"channel" if self.is_channel else "subject": self.text}


class SubscribeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where to start in a channel's history (`since` or `last`), or the queue group to join."""

    replay: dict[str, int] = {}
    queue: str = ""


class ConnectionLost(Exception):
    """The connection broke or could not be made; a retry may help. `code` is the server's error code."""

    def __init__(self, reason: str, *, retry_after_s: float = 0, code: str = "") -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.code = code

    def to_failure(self) -> Failure:
        """The failure of a command that does not retry."""
        return Failure(
            str(self), exit_code_for_error(self.code) if self.code else ExitCode.UNAVAILABLE, code=self.code
        )


class StopReceiving(Exception):
    """Raised by `on_message` to end the subscription."""


class Transport(Protocol):
    """Publishes and subscribes as a client; methods raise ConnectionLost and Failure."""

    async def publish(self, subject: Subject, data: bytes, count: int) -> None: ...

    async def subscribe(
        self,
        subject: Subject,
        options: SubscribeOptions,
        on_ready: Callable[[], Awaitable[None]],
        on_message: Callable[[dict[str, Any]], None],
    ) -> None: ...
