"""What the two ways to send and hear messages have in common."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_for_code

ANSWER_S = 10


class Subject(msgspec.Struct, frozen=True):
    """A subject, or with `channel` a channel's id."""

    text: str
    channel: bool

    @property
    def fields(self) -> dict[str, str]:
        """It in a frame."""
        return {"channel" if self.channel else "subject": self.text}


class Lost(Exception):
    """The connection is gone, or could not be made; trying again may help. `code` is the server's word."""

    def __init__(self, reason: str, *, retry_after_s: float = 0, code: str = "") -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.code = code

    def final(self) -> Failure:
        """It for whoever does not try again."""
        return Failure(
            str(self), exit_for_code(self.code) if self.code else ExitCode.UNAVAILABLE, code=self.code
        )


class Transport(Protocol):
    """A way to the messages of an organization; Lost and Failure end what is under way."""

    async def publish(self, subject: Subject, data: bytes, count: int) -> None: ...

    async def listen(
        self,
        subject: Subject,
        begin: dict[str, int],
        ready: Callable[[], Awaitable[None]],
        put: Callable[[dict[str, Any]], None],
    ) -> None: ...


class Enough(Exception):
    """Raised by whoever takes messages: no more are wanted."""
