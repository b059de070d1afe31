"""Messages straight over NATS, as a client of the service."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.broker.subjects import ResolvedSubject, channel_of, resolve, resolve_channel, to_form
from artcafe_common.bus.errors import CommandError
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_for
from artcafe_common.cli.transport import ANSWER_S, Lost, Subject

CONNECT_S = 5
LOOK_S = 1.0
SETTLE_S = 0.1
FROM_HEADER = "Artcafe-From"


class Direct:
    """The way past the gateway, with the same names and the same messages."""

    def __init__(self, url: str, tenant_id: str, key: KeyPair) -> None:
        self._url = url
        self._tenant_id = tenant_id
        self._key = key

    async def publish(self, subject: Subject, data: bytes, count: int) -> None:
        """Send a message so many times; the broker has them when this returns."""
        name = self._name(subject, wildcards=False)
        async with self._connected() as (nc, problems):
            for number in range(count):
                await nc.publish(name.publish_subject, data)
                if number == 0 or number == count - 1:
                    # A subject that is not allowed is told at the first.
                    await _settle(nc, problems)

    async def listen(
        self,
        subject: Subject,
        begin: dict[str, int],  # noqa: ARG002 - core NATS keeps nothing
        ready: Callable[[], Awaitable[None]],
        put: Callable[[dict[str, Any]], None],
    ) -> None:
        """Hand over messages until the connection is Lost; `ready` is called once they begin."""
        name = self._name(subject, wildcards=True)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def end(reason: BaseException) -> None:
            if not over.done():
                over.set_exception(reason)

        async def take(message: Msg) -> None:
            if not over.done():
                try:
                    put(self._frame(message, name))
                except Exception as error:  # noqa: BLE001 - it belongs to whoever listens
                    end(error)

        async def ended() -> None:
            end(Lost("the connection broke"))

        async with self._connected(on_end=ended) as (nc, problems):
            for raw in name.subscribe_subjects:
                await nc.subscribe(raw, cb=take)
            await _settle(nc, problems)
            await ready()
            while not over.done():
                await asyncio.wait([over], timeout=LOOK_S)
                _raise(problems)
            over.result()

    def _name(self, subject: Subject, *, wildcards: bool) -> ResolvedSubject:
        try:
            if subject.channel:
                return resolve_channel(self._tenant_id, subject.text)
            return resolve(self._tenant_id, subject.text, wildcards=wildcards)
        except CommandError as error:
            raise Failure(error.detail, exit_for(error.status), code=error.code) from None

    def _frame(self, message: Msg, name: ResolvedSubject) -> dict[str, Any]:
        """A message in the form that it has over WebSocket."""
        frame: dict[str, Any] = {"subject": to_form(self._tenant_id, message.subject, name.form)}
        channel = channel_of(self._tenant_id, message.subject)
        if channel is not None:
            frame["channel"] = channel
        try:
            frame["data"] = msgspec.json.decode(message.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            frame["data"] = {"base64": base64.b64encode(message.data).decode()}
        sender = (message.headers or {}).get(FROM_HEADER)
        if sender:
            frame["from"] = sender
        frame["timestamp"] = datetime.now(UTC)
        return frame

    @asynccontextmanager
    async def _connected(
        self, on_end: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncIterator[tuple[Nats, list[Exception]]]:
        problems: list[Exception] = []

        async def note(error: Exception) -> None:
            problems.append(error)

        nc = Nats()
        try:
            await nc.connect(
                self._url.split(","),
                nkeys_seed_str=self._key.seed,
                name="artcafe-cli",
                connect_timeout=CONNECT_S,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # nats-py would knock sixty times
                error_cb=note,
                closed_cb=on_end,
            )
            yield nc, problems
        except (nats.errors.Error, OSError, TimeoutError) as error:
            seen = " ".join(map(repr, [error, *problems])).lower()
            if "authorization" in seen:
                raise Failure(
                    "the broker does not take the key", ExitCode.DENIED, code="authentication_failed"
                ) from None
            raise Lost(f"cannot reach {self._url}: {error or type(error).__name__}") from None
        finally:
            await nc.close()


async def _settle(nc: Nats, problems: list[Exception]) -> None:
    """Return once the broker has what was sent; Failure when it refused it."""
    await nc.flush(timeout=ANSWER_S)
    _raise(problems)
    # The broker's refusal may come a moment behind its first answer.
    await asyncio.sleep(SETTLE_S)
    await nc.flush(timeout=ANSWER_S)
    _raise(problems)


def _raise(problems: list[Exception]) -> None:
    if any("permissions violation" in str(problem).lower() for problem in problems):
        raise Failure("The subject is not allowed", ExitCode.DENIED, code="forbidden_subject")
