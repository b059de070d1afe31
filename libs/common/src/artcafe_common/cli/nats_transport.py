"""Messages over direct NATS."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from artcafe_common.broker.client import HardenedNats
from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.broker.subjects import ResolvedSubject, channel_id_of, resolve, resolve_channel, to_form
from artcafe_common.bus.errors import CommandError
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_code_for_status
from artcafe_common.cli.transport import REPLY_TIMEOUT_S, ConnectionLost, Subject, SubscribeOptions
from artcafe_common.tls import create_tls

# A broker that restarted rejects every key until identity is connected to it again.
MAX_RETRIED_REJECTIONS = 5
CONNECT_TIMEOUT_S = 5
ERROR_CHECK_INTERVAL_S = 1.0
LATE_ERROR_S = 0.1


class NatsTransport:
    """Connects to the broker instead of the gateway, with the same subjects and message format."""

    def __init__(self, url: str, tenant_id: str, key: KeyPair, ca_file: Path | None = None) -> None:
        self._url = url
        self._ca_file = ca_file
        self._tenant_id = tenant_id
        self._key = key
        # Rejections that are retried before the next one is final; none until the key was accepted once.
        self._retries_left = 0

    async def publish(self, subject: Subject, data: bytes, count: int) -> None:
        """Publish a message `count` times; returns when the broker has received all of them."""
        resolved = self._resolve(subject, wildcards=False)
        async with self._connect() as (nc, errors):
            for number in range(count):
                await nc.publish(resolved.publish_subject, data)
                if number == 0 or number == count - 1:
                    # The first flush reports a forbidden subject before the rest is sent.
                    await _flush(nc, errors)

    async def subscribe(
        self,
        subject: Subject,
        options: SubscribeOptions,
        on_ready: Callable[[], Awaitable[None]],
        on_message: Callable[[dict[str, Any]], None],
    ) -> None:
        """Receive messages until `on_message` raises or the connection is lost; core NATS replays nothing."""
        resolved = self._resolve(subject, wildcards=True)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def end(reason: BaseException) -> None:
            if not ended.done():
                ended.set_exception(reason)

        async def receive(message: Msg) -> None:
            if not ended.done():
                try:
                    on_message(self._to_frame(message, resolved))
                except Exception as error:  # noqa: BLE001 - raised to the caller
                    end(error)

        async def on_closed() -> None:
            end(ConnectionLost("the connection was lost"))

        async with self._connect(on_closed) as (nc, errors):
            for pattern in resolved.subscribe_subjects:
                await nc.subscribe(pattern, queue=options.queue, cb=receive)
            await _flush(nc, errors)
            await on_ready()
            while not ended.done():
                await asyncio.wait([ended], timeout=ERROR_CHECK_INTERVAL_S)
                _raise_if_forbidden(errors)
            ended.result()

    def _resolve(self, subject: Subject, *, wildcards: bool) -> ResolvedSubject:
        try:
            if subject.is_channel:
                return resolve_channel(self._tenant_id, subject.text)
            return resolve(self._tenant_id, subject.text, wildcards=wildcards)
        except CommandError as error:
            raise Failure(error.detail, exit_code_for_status(error.status), code=error.code) from None

    def _to_frame(self, message: Msg, resolved: ResolvedSubject) -> dict[str, Any]:
        """A message in the format of a WebSocket frame."""
        frame: dict[str, Any] = {"subject": to_form(self._tenant_id, message.subject, resolved.form)}
        channel = channel_id_of(self._tenant_id, message.subject)
        if channel is not None:
            frame["channel"] = channel
        try:
            frame["data"] = msgspec.json.decode(message.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            frame["data"] = {"base64": base64.b64encode(message.data).decode()}
        frame["timestamp"] = datetime.now(UTC)
        return frame

    @asynccontextmanager
    async def _connect(
        self, on_closed: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncIterator[tuple[Nats, list[Exception]]]:
        """A connection, and the list of errors that the broker reports on it."""
        errors: list[Exception] = []

        async def on_error(error: Exception) -> None:
            errors.append(error)

        nc = HardenedNats()
        try:
            await nc.connect(
                self._url.split(","),
                tls=create_tls(self._ca_file),
                nkeys_seed_str=self._key.seed,
                name="artcafe-cli",
                connect_timeout=CONNECT_TIMEOUT_S,
                allow_reconnect=False,
                error_cb=on_error,
                closed_cb=on_closed,
            )
            self._retries_left = MAX_RETRIED_REJECTIONS
            yield nc, errors
        except (nats.errors.Error, OSError, TimeoutError) as error:
            reported = " ".join(map(repr, [error, *errors])).lower()
            if "authorization" in reported and self._retries_left:
                self._retries_left -= 1
                raise ConnectionLost("the broker rejected the key", code="authentication_failed") from None
            if "authorization" in reported:
                raise Failure(
                    "the broker rejected the key", ExitCode.DENIED, code="authentication_failed"
                ) from None
            raise ConnectionLost(f"cannot reach {self._url}: {error or type(error).__name__}") from None
        finally:
            await nc.close()


async def _flush(nc: Nats, errors: list[Exception]) -> None:
    """Return when the broker has processed everything sent; Failure if it rejected any of it."""
    await nc.flush(timeout=REPLY_TIMEOUT_S)
    _raise_if_forbidden(errors)
    # The broker can report a permissions violation shortly after the flush.
    await asyncio.sleep(LATE_ERROR_S)
    await nc.flush(timeout=REPLY_TIMEOUT_S)
    _raise_if_forbidden(errors)


def _raise_if_forbidden(errors: list[Exception]) -> None:
    if any("permissions violation" in str(error).lower() for error in errors):
        raise Failure("The subject is not allowed", ExitCode.DENIED, code="forbidden_subject")
