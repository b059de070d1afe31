"""The NATS client of every connection of the platform: nats-py without its ways to fall silent.

docs/internals/nats-client.md lists what nats-py 2.16 does, and what this client does instead. This module, the parser,
`limited_subscription` and the bridge's connection use private parts of nats-py, which is why its version is pinned.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import nats.errors
import structlog
from nats.aio.client import DEFAULT_BUFFER_SIZE, PING_PROTO, Callback, Srv
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.protocol import command as protocol

from artcafe_common.broker.drop_log import DropLog
from artcafe_common.broker.missing_api import API_PREFIX, repeat_while_missing
from artcafe_common.broker.parser import StreamParser
from artcafe_common.broker.request_info import keep_only_the_brokers

# An attempt to reconnect comes within this share of the time that the outage has lasted, between the two limits: who
# is needed for others to log in again is back soon after a short outage, and a long one costs few attempts.
RECONNECT_SHARE = 0.25
MIN_RECONNECT_S = 0.25
MAX_RECONNECT_S = 2.0
# A connection that lasted this long was a success: its loss is not a further failure of the same kind.
STABLE_AFTER_S = 10.0
# How long `close` waits for the broker to read what is still to be written.
CLOSE_TIMEOUT_S = 1.0
RECONNECT_FLUSH_TIMEOUT_S = 3.0

log = structlog.get_logger()

MessageHandler = Callable[[Msg], Awaitable[None]]


class HardenedNats(Nats):
    """A NATS client that survives odd messages, and notices at once when it does not read any more."""

    def __init__(self) -> None:
        super().__init__()
        self.drops = DropLog()
        self._ended = False
        # Since when there is no stable connection; None if there is one, or before the first attempt.
        self._unstable_since: float | None = None
        self._connected_at = 0.0
        self._background: set[asyncio.Task[None]] = set()

    async def connect(self, servers: str | list[str], **options: Any) -> None:  # type: ignore[override]
        """As nats-py's. Without `allow_reconnect`, every server is tried once."""
        self.drops.connection = options.get("name") or ""
        report = options.get("error_cb")

        async def on_error(error: Exception) -> None:
            if isinstance(error, nats.errors.SlowConsumerError):
                # One for each message that does not fit into a subscription's buffer.
                self.drops.record(error)
            elif report is not None:
                await report(error)

        self._ended = False
        self._server_pool = []
        if not options.get("allow_reconnect", True):
            options["max_reconnect_attempts"] = 0
        await super().connect(servers, **{**options, "error_cb": on_error})
        self._unstable_since = None

    # -- messages ------------------------------------------------------------------------------

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        try:
            await super()._process_msg(sid, subject, reply, data, headers)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - costs this message only
            self.drops.record(error)

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        parsed = await super()._process_headers(headers)
        if headers and parsed:
            keep_only_the_brokers(headers, parsed)
        return parsed

    async def subscribe(  # type: ignore[override]
        self, subject: str, queue: str = "", cb: MessageHandler | None = None, **options: Any
    ) -> Subscription:
        """As nats-py's; a message whose handler raises is dropped."""
        return await super().subscribe(subject, queue=queue, cb=cb and self._guard(cb), **options)

    def _guard(self, handler: MessageHandler) -> Callable[[Msg], Coroutine[Any, Any, None]]:
        async def handle(message: Msg) -> None:
            try:
                await handler(message)
            except asyncio.CancelledError as error:
                # nats-py would end the subscription also when the handler awaited something that was cancelled.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                self.drops.record(error)
            except Exception as error:  # noqa: BLE001 - costs this message only
                self.drops.record(error)

        return handle

    # -- writing -------------------------------------------------------------------------------

    async def request(  # type: ignore[override]
        self, subject: str, payload: bytes = b"", timeout: float = 0.5, **options: Any
    ) -> Msg:
        """As nats-py's; a call of JetStream's API waits while the broker replaces the account's claims."""
        request = partial(super().request, subject, payload, timeout, **options)
        if not subject.startswith(API_PREFIX):
            return await request()
        return await repeat_while_missing(request, timeout_s=timeout)

    async def flush(self, timeout: float = 10) -> None:
        """Returns once the broker has processed what was published before.

        FlushTimeoutError; ConnectionClosedError or ConnectionReconnectingError when the connection is lost.
        """
        if timeout <= 0:
            raise nats.errors.BadTimeoutError
        self._require_connected()
        pong = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._send_ping(pong)
                await pong
        except TimeoutError:
            raise nats.errors.FlushTimeoutError from None

    def _require_connected(self) -> None:
        if self.is_connected:
            return
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        raise nats.errors.ConnectionReconnectingError

    async def _send_ping(self, future: "asyncio.Future[Any] | None" = None) -> None:
        # Behind the publishes that wait: the broker answers once it has processed them.
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        self._pending.append(PING_PROTO)
        self._pending_data_size += len(PING_PROTO)
        await self._flush_pending()

    async def _process_pong(self) -> None:
        self.process_pong()

    def process_pong(self) -> None:
        """Resolve the oldest PING."""
        if self._pongs:
            pong = self._pongs.pop(0)
            if not pong.done():
                pong.set_result(True)
            self._pongs_received += 1
            self._pings_outstanding = 0

    async def _flush_pending(self, force_flush: bool = False) -> None:  # noqa: FBT001, FBT002 - nats-py's signature
        queue, written = self._flush_queue, asyncio.get_running_loop().create_future()
        if not self.is_connected or queue is None:
            return
        if force_flush:
            await queue.put(written)
            if self.is_closed:
                raise nats.errors.ConnectionClosedError
            await written
        elif queue.empty():
            queue.put_nowait(written)

    # -- the connection ------------------------------------------------------------------------

    async def _select_next_server(self) -> None:
        """Connects to the next server, after a pause."""
        for _ in range(len(self._server_pool)):
            server = self._server_pool.pop(0)
            self._server_pool.append(server)
            try:
                await self._open(server)
            except Exception as error:  # noqa: BLE001 - as nats-py: any failure means the next server
                self._err = error
                await self._error_cb(error)
            else:
                return
        # nats-py tries again unless the number of attempts is limited.
        raise nats.errors.NoServersError

    async def _open(self, server: Srv) -> None:
        if self._unstable_since is not None:
            limit = RECONNECT_SHARE * (time.monotonic() - self._unstable_since)
            await asyncio.sleep(random.uniform(0, min(max(limit, MIN_RECONNECT_S), MAX_RECONNECT_S)))
        elif self.options["allow_reconnect"]:
            self._unstable_since = time.monotonic()
        # A new transport, so that the tasks of the old connection never use the new one.
        self._transport = None
        self._current_server = server
        await self._connect_to_server(server)

    async def _process_connect_init(self) -> None:
        # nats-py forgets the PONGs that it waits for, and with them whoever waits in `flush`.
        self._abandon_pings()
        self._ps = StreamParser(self)  # type: ignore[assignment]
        try:
            await super()._process_connect_init()
        except OSError:  # that of an invalid certificate is a ValueError too
            raise
        except (ValueError, RuntimeError, EOFError) as error:
            raise nats.errors.ProtocolError from error
        if self._ended:
            # Closed meanwhile; Python 3.11's wait_for can lose the cancellation.
            self._status = Nats.CLOSED
            raise nats.errors.ConnectionClosedError
        if not self.is_connected:
            raise nats.errors.ProtocolError
        self._connected_at = time.monotonic()
        for task in (self._reading_task, self._flusher_task, self._ping_interval_task):
            if task is not None:
                task.add_done_callback(self._on_task_done)

    async def _read_loop(self) -> None:
        transport, parser = self._transport, self._ps
        while transport is not None and transport is self._transport and self.is_connected:
            data = await transport.read(DEFAULT_BUFFER_SIZE)
            if not data:
                raise nats.errors.UnexpectedEOF
            await parser.parse(data)

    def _on_task_done(self, task: "asyncio.Task[Any]") -> None:
        error = None if task.cancelled() else task.exception()
        current = (self._reading_task, self._flusher_task, self._ping_interval_task)
        if task in current and self.is_connected:
            lost = error if isinstance(error, Exception) else nats.errors.UnexpectedEOF()
            self._run_in_background(self._process_op_err(lost))

    def _run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _process_err(self, err_msg: str) -> None:
        text = err_msg.strip("'")
        error = nats.errors.Error(f"nats: {text}")
        self._err = error
        await self._error_cb(error)
        if "permissions violation" not in err_msg:
            # The broker closes the connection. nats-py would never reconnect.
            await self._process_op_err(error)

    async def _process_op_err(self, e: Exception) -> None:
        if not self.is_connected:
            return
        self._err = e
        if not self.options["allow_reconnect"] or self.is_draining:
            self._process_disconnect()
            await self._close(Nats.CLOSED, do_cbs=True)
            return
        self._status = Nats.RECONNECTING
        self._abandon_pings()
        if self._unstable_since is None or time.monotonic() - self._connected_at > STABLE_AFTER_S:
            self._unstable_since = time.monotonic()
        if self._reconnection_task is None or self._reconnection_task.done():
            # Otherwise the connection was lost while the task made it: it tries again.
            self._reconnection_task = asyncio.get_running_loop().create_task(self._attempt_reconnect())

    async def _attempt_reconnect(self) -> None:
        await self._end_connection(write_pending=False)
        await self._call(self._disconnected_cb)
        while not self.is_closed:
            try:
                await self._select_next_server()
                await self._process_connect_init()
                await self._restore_subscriptions()
                await self.flush(RECONNECT_FLUSH_TIMEOUT_S)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt is the remedy
                if not self._ended:
                    self._status = Nats.RECONNECTING
                    self._err = error
                    if not isinstance(error, nats.errors.NoServersError):
                        await self._call(self._error_cb, error)
                await self._end_connection(write_pending=False)
            else:
                self.stats["reconnects"] += 1
                self._run_in_background(self._call(self._reconnected_cb))
                return

    async def _restore_subscriptions(self) -> None:
        transport = self._transport
        if transport is None:
            raise nats.errors.ConnectionClosedError
        for sid, subscription in list(self._subs.items()):
            left = subscription._max_msgs - subscription._received
            if subscription._max_msgs and left <= 0:
                del self._subs[sid]
                continue
            transport.write(protocol.sub_cmd(subscription._subject, subscription._queue, sid))
            if subscription._max_msgs:
                transport.write(protocol.unsub_cmd(sid, left))

    async def _call(self, callback: Callback | Callable[..., Awaitable[None]] | None, *args: Any) -> None:
        """Calls a callback of the application; its failure is reported and changes nothing."""
        if callback is None:
            return
        try:
            await callback(*args)
        except Exception:
            log.exception("nats_callback_failed", connection=self.drops.connection)

    # -- the end -------------------------------------------------------------------------------

    async def drain(self) -> None:
        """As nats-py's; the connection is closed also when the broker does not answer."""
        try:
            await super().drain()
        finally:
            if self.is_draining:
                await self._close(Nats.CLOSED)

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002 - nats-py's signature
        if self.is_closed:
            self._status = status
            return
        was_connected = self.is_connected
        self._ended = self._ended or status == Nats.CLOSED
        self._status = Nats.CLOSED
        reconnection = self._reconnection_task
        if reconnection is not None and reconnection is not asyncio.current_task():
            reconnection.cancel()
            await asyncio.wait({reconnection}, timeout=CLOSE_TIMEOUT_S)
        await self._end_connection(write_pending=was_connected)
        for subscription in list(self._subs.values()):
            _end_subscription(subscription)
        self._subs.clear()
        for reply in list(self._resp_map.values()):
            _fail(reply, nats.errors.ConnectionClosedError())
        if do_cbs:
            await self._call(self._disconnected_cb)
            await self._call(self._closed_cb)
        self._client_id = self._client_ip = self._resp_sub_prefix = None

    async def _end_connection(self, *, write_pending: bool) -> None:
        """Ends the tasks and the transport of the current connection within a bounded time."""
        current = asyncio.current_task()
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None and task is not current:
                task.cancel()
        transport, self._transport = self._transport, None
        if transport:
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    if write_pending:
                        transport.writelines(self._pending)
                        self._pending, self._pending_data_size = [], 0
                        await transport.drain()  # type: ignore[no-untyped-call]
                        transport.close()  # type: ignore[no-untyped-call]
                        await transport.wait_closed()  # type: ignore[no-untyped-call]
            writer = getattr(transport, "_io_writer", None)
            if writer is None:
                transport.close()  # type: ignore[no-untyped-call]
            else:
                writer.transport.abort()
        self._abandon_pings()
        self._release_writers()

    def _abandon_pings(self) -> None:
        """No PONG will come, and an unwritten PING must not be answered on the next connection."""
        waiting, self._pongs = self._pongs, []
        for pong in waiting:
            _fail(pong, nats.errors.ConnectionClosedError())
        self._pending = [command for command in self._pending if command is not PING_PROTO]
        self._pending_data_size = sum(map(len, self._pending))
        self._pings_outstanding = 0

    def _release_writers(self) -> None:
        # The flusher has ended: on a closed connection nothing writes any more, on a lost one the next flusher does.
        queue = self._flush_queue
        while self.is_closed and queue is not None and not queue.empty():
            _fail(queue.get_nowait(), nats.errors.ConnectionClosedError())


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        # Whoever gave up waiting does not have to retrieve it.
        future.exception()


def _end_subscription(subscription: Subscription) -> None:
    task = subscription._wait_for_msgs_task
    if task is not None and task is not asyncio.current_task():
        task.cancel()
    if subscription._message_iterator is not None:
        subscription._message_iterator._cancel()
    for call in list((subscription._pending_next_msgs_calls or {}).values()):
        call.cancel()
