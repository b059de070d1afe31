"""A connection to the gateway over WebSocket."""

import asyncio
import contextlib
import itertools
import json
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from artcafe_client.error_factory import create_error
from artcafe_client.errors import AccessRevoked, ArtcafeError, ConnectionFailed, ConnectionLost, ServerError
from artcafe_client.identity import Identity
from artcafe_client.message import Ack, Message
from artcafe_client.states import FINAL_CLOSE_CODES, Event
from artcafe_client.transports import frames
from artcafe_client.transports.batching import SUBPROTOCOL, FrameSender
from artcafe_client.transports.channel_groups import Group, Groups
from artcafe_client.transports.link import DialFailed, Feed, Loss, OnError, Report, Start, Target

# Larger than any frame that a gateway sends.
MAX_FRAME_BYTES = 4 * 1024 * 1024
PING_INTERVAL_S = 10.0
CLOSE_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 10.0
# The largest page that the server sends.
ROSTER_PAGE = 200
CLOSE_REVOKED = 4403
_DECODER = msgspec.json.Decoder(frames.ServerFrame)
T = TypeVar("T")
log = logging.getLogger("artcafe_client")


def client_url(url: str, client_id: str) -> str:
    """The address of a client's WebSocket below a gateway's."""
    url = url.rstrip("/")
    if url.startswith("http"):
        url = "ws" + url[len("http") :]
    return url if "/ws/client/" in url else f"{url}/ws/client/{quote(client_id, safe='')}"


class WebSocketLink:
    """One authenticated WebSocket."""

    transport = "websocket"
    has_others = False

    def __init__(self, ws: ClientConnection, welcome: frames.Welcome, on_error: OnError) -> None:
        self.tenant_id = welcome.tenant_id
        self.connection_id = welcome.connection_id
        self.heartbeat_interval_s = welcome.heartbeat_interval_s
        self.lost: asyncio.Future[Loss] = asyncio.get_running_loop().create_future()
        self._ws = ws
        self._frames = FrameSender(ws)
        self._on_error = on_error
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        # What is done with an answer before the next frame is handled.
        self._on_answer: dict[int, Callable[[Any], None]] = {}
        self._groups = Groups(self.tenant_id)
        self._farewell = Farewell()
        self._reader = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def dial(
        cls, url: str, identity: Identity, *, timeout_s: float, tls: ssl.SSLContext | None, on_error: OnError
    ) -> "WebSocketLink":
        """Connects and answers the challenge. DialFailed."""
        farewell = Farewell()
        options: dict[str, Any] = {"ssl": tls} if tls is not None and url.startswith("wss") else {}
        ws: ClientConnection | None = None
        link: WebSocketLink | None = None
        try:
            ws = await connect(
                client_url(url, identity.client_id),
                open_timeout=timeout_s,
                ping_interval=PING_INTERVAL_S,
                ping_timeout=PING_INTERVAL_S,
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=MAX_FRAME_BYTES,
                compression=None,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                **options,
            )
            welcome = await asyncio.wait_for(_authenticate(ws, identity, farewell), timeout_s)
            link = cls(ws, welcome, on_error)
        except ConnectionClosed as error:
            raise DialFailed(farewell.loss(error)) from None
        except InvalidStatus as error:
            raise DialFailed(_rejected(error)) from None
        except (OSError, WebSocketException, asyncio.TimeoutError, ArtcafeError) as error:
            reason = str(error) or type(error).__name__
            raise DialFailed(Loss(Event.LOST, ConnectionFailed(f"cannot reach {url}: {reason}"))) from None
        finally:
            if ws is not None and link is None:
                await ws.close()
        return link

    # -- sending -------------------------------------------------------------------------------

    async def publish(
        self, target: Target, body: bytes, headers: Mapping[str, str] | None, message_id: str | None
    ) -> Ack:
        fields = {
            **_named(target),
            **({"message_id": message_id} if message_id and target.is_channel else {}),
        }
        published = await self._call("publish", frames.Published, fields, body=body, headers=headers)
        return Ack(seq=published.seq, duplicate=published.duplicate)

    async def send(self, subject: str, body: bytes, headers: Mapping[str, str] | None) -> None:
        await self._send(_encode("publish", body, headers, {"subject": subject}))

    async def flush(self, timeout_s: float) -> None:
        # Frames are handled in order, and a pong is sent after what was received before.
        pong = asyncio.get_running_loop().create_future()
        self._answers[-next(self._ids)] = pong
        await self._send(b'{"type":"ping"}')
        await self._within(pong, timeout_s)

    async def request(
        self, target: Target, body: bytes, headers: Mapping[str, str] | None, timeout_s: float
    ) -> Message:
        reply = await self._call(
            "request",
            frames.Reply,
            {"subject": target.text, "timeout_ms": max(1, int(timeout_s * 1000))},
            body=body,
            headers=headers,
            timeout_s=timeout_s + ANSWER_TIMEOUT_S,
        )
        return Message(target.text, bytes(reply.data), time.time())

    async def respond(self, message: Message, body: bytes) -> None:
        """Publish the answer to a request."""
        await self.send(message.reply or "", body, None)

    async def report(self, report: Report, *, heartbeat: bool) -> None:
        fields = msgspec.to_builtins(report)
        if heartbeat:
            fields = {name: value for name, value in fields.items() if name in ("status", "metrics")}
        else:
            fields.pop("metrics", None)
        await self._send(json.dumps({"type": "heartbeat" if heartbeat else "presence", **fields}).encode())

    async def roster(self, timeout_s: float) -> list[dict[str, Any]]:
        members: list[dict[str, Any]] = []
        fields: dict[str, Any] = {"limit": ROSTER_PAGE}
        while True:
            page = await self._call("roster", frames.Roster, fields, timeout_s=timeout_s)
            members += page.roster
            if page.next_cursor is None:
                return members
            fields["cursor"] = page.next_cursor

    # -- subscriptions -------------------------------------------------------------------------

    async def subscribe(self, feed: Feed) -> None:
        group, is_new = self._groups.join(feed)
        start = feed.start
        if not is_new and start is None:
            feed.started(None)
            return
        try:
            await self._subscribe(group, feed, {} if start is None else _start_fields(start))
            while group.is_ahead:
                await self._subscribe(group, feed, {"since": group.earliest_seq})
        except BaseException:
            self._groups.leave(feed)
            if group.is_ahead:
                # The next connection begins each of the others at its own place.
                self.abort("a place in a channel was not restored")
            raise

    async def _subscribe(self, group: Group, feed: Feed, start: dict[str, Any]) -> None:
        fields = {**group.fields(), **start}
        if start:
            group.waiting.add(feed)
        # Subscribing again moves the socket's one place in the channel: nobody may miss anything.
        earliest = group.earliest_seq
        if earliest is not None and isinstance(start.get("since"), int):
            fields["since"] = min(start["since"], earliest)

        def confirm(subscribed: frames.Subscribed) -> None:
            feed.started(subscribed.seq)
            self._groups.confirm(group, feed, subscribed.channel_id, subscribed.seq)

        await self._call("subscribe", frames.Subscribed, fields, on_answer=confirm)

    async def unsubscribe(self, feed: Feed) -> None:
        group = self._groups.leave(feed)
        if group is not None:
            await self._call("unsubscribe", frames.Unsubscribed, group.fields())

    # -- the connection ------------------------------------------------------------------------

    def abort(self, reason: str) -> None:
        self._end(Loss(Event.LOST, ConnectionLost(reason)))
        self._ws.transport.abort()

    async def close(self) -> None:
        await self._ws.close()
        await asyncio.wait([self._reader])

    async def _call(
        self,
        kind: str,
        answer: type[T],  # noqa: ARG002 - the type of the result
        fields: Mapping[str, Any],
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
        on_answer: Callable[[T], None] | None = None,
    ) -> T:
        """The answer to a frame; `on_answer` is called with it before the next frame is handled."""
        number = next(self._ids)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        if on_answer is not None:
            self._on_answer[number] = on_answer
        try:
            await self._send(_encode(kind, body, headers, {**fields, "id": number}))
            return await self._within(future, timeout_s)
        finally:
            self._answers.pop(number, None)
            self._on_answer.pop(number, None)

    async def _within(self, future: "asyncio.Future[T]", timeout_s: float) -> T:
        try:
            return await asyncio.wait_for(future, timeout_s)
        except asyncio.TimeoutError:
            raise ConnectionLost("the server does not answer") from None

    async def _send(self, frame: bytes) -> None:
        if self.lost.done():
            raise ConnectionLost(str(self.lost.result().error))
        await self._frames.send(frame)

    async def _read(self) -> None:
        try:
            while True:
                data = await self._ws.recv(decode=False)
                for message in self._frames.split(data):
                    self._handle_text(message)
        except ConnectionClosed as error:
            self._end(self._farewell.loss(error))
        except Exception as error:
            log.exception("reading failed")
            self._end(Loss(Event.LOST, ConnectionLost(f"reading failed: {error!r}")))
            self._ws.transport.abort()

    def _handle_text(self, text: bytes) -> None:
        try:
            self._handle(_DECODER.decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # A type of frame that this version does not know.
            log.debug("a frame was ignored", extra={"size": len(text)})

    def _handle(self, frame: frames.ServerFrame) -> None:
        if isinstance(frame, frames.MessageFrame):
            self._deliver(frame)
        elif isinstance(
            frame, (frames.Published, frames.Reply, frames.Subscribed, frames.Unsubscribed, frames.Roster)
        ):
            self._settle(frame.id, frame)
        elif isinstance(frame, frames.Error):
            error = create_error(
                frame.code, frame.message, retry_after_ms=frame.retry_after_ms, detail=frame.detail
            )
            if not self._settle(frame.id, error):
                self._farewell.note(error)
                self._on_error(error)
        elif isinstance(frame, frames.Reconnect):
            self._farewell.retry_after_s = frame.retry_after_ms / 1000
        elif isinstance(frame, frames.Gap):
            for feed in self._groups.of_channel(frame.channel):
                feed.deliver_gap(frame.from_seq, frame.to_seq)
        elif isinstance(frame, frames.Pong):
            first = next((number for number in self._answers if number < 0), None)
            if first is not None:
                self._settle(first, None)
                del self._answers[first]

    def _settle(self, number: "str | int | None", value: Any) -> bool:
        future = self._answers.get(number) if isinstance(number, int) else None
        if future is None or future.done():
            return future is not None
        if isinstance(value, Exception):
            future.set_exception(value)
        else:
            if isinstance(number, int) and (on_answer := self._on_answer.get(number)):
                on_answer(value)
            future.set_result(value)
        return True

    def _deliver(self, frame: frames.MessageFrame) -> None:
        message = Message(
            frame.subject,
            bytes(frame.data),
            frame.timestamp,
            channel=frame.channel,
            seq=frame.seq,
            _headers=frame.headers,
            sender=frame.from_,
            reply=frame.reply,
            _respond=self.respond if frame.reply else None,
        )
        for feed in self._groups.matching(frame.subject, frame.channel, frame.queue):
            feed.deliver(message)

    def _end(self, loss: Loss) -> None:
        if self.lost.done():
            return
        self.lost.set_result(loss)
        for future in self._answers.values():
            if not future.done():
                future.set_exception(ConnectionLost(str(loss.error)))
                # Nobody may wait for it any more.
                future.exception()
        self._answers.clear()


class Farewell:
    """What the server said before it closed the connection."""

    def __init__(self) -> None:
        self.retry_after_s: float | None = None
        self._error: ServerError | None = None

    def note(self, error: ServerError) -> None:
        """Note an error that answers no frame: it may say why the connection ends."""
        self._error = error
        if error.retry_after_s is not None:
            self.retry_after_s = error.retry_after_s

    def loss(self, closed: ConnectionClosed) -> Loss:
        """What a close means."""
        code = closed.rcvd.code if closed.rcvd else 0
        reason = (closed.rcvd.reason if closed.rcvd else "") or "the connection was lost"
        if code in FINAL_CLOSE_CODES:
            error = AccessRevoked(reason) if code == CLOSE_REVOKED else self._error or create_error(reason)
            return Loss(Event.REFUSED, error)
        lost = self._error or ConnectionLost(reason)
        if self.retry_after_s is not None:
            return Loss(Event.RETRY_LATER, lost, self.retry_after_s)
        return Loss(Event.LOST, lost)


async def _authenticate(ws: ClientConnection, identity: Identity, farewell: Farewell) -> frames.Welcome:
    while True:
        with contextlib.suppress(msgspec.DecodeError):
            frame = _DECODER.decode(await ws.recv(decode=False))
            if isinstance(frame, frames.Challenge):
                signature = identity.sign(frame.nonce.encode())
                answer = {"type": "auth", "nkey": identity.public_key, "signature": signature}
                await ws.send(json.dumps(answer))
            elif isinstance(frame, frames.Welcome):
                return frame
            elif isinstance(frame, frames.Error):
                farewell.note(create_error(frame.code, frame.message, retry_after_ms=frame.retry_after_ms))
            elif isinstance(frame, frames.Reconnect):
                farewell.retry_after_s = frame.retry_after_ms / 1000


def _rejected(error: InvalidStatus) -> Loss:
    """What an HTTP status in place of a WebSocket means."""
    status = error.response.status_code
    failed = ConnectionFailed(f"the server answered the handshake with {status}")
    retry_after = error.response.headers.get("Retry-After", "")
    if retry_after.isdigit():
        return Loss(Event.RETRY_LATER, failed, float(retry_after))
    return Loss(Event.LOST, failed)


def _named(target: Target) -> dict[str, str]:
    return {"channel" if target.is_channel else "subject": target.text}


def _start_fields(start: Start) -> dict[str, Any]:
    if start.since is None:
        return {"last": start.last or 0}
    return {"since": start.since if isinstance(start.since, int) else start.since.isoformat()}


def _encode(
    kind: str, body: bytes | None, headers: Mapping[str, str] | None, fields: dict[str, Any]
) -> bytes:
    """A frame; the body is inserted as it is, so that JSON numbers keep every digit."""
    head = {"type": kind, **fields, **({"headers": dict(headers)} if headers else {})}
    text = msgspec.json.encode(head)
    return text if body is None else b'%b,"data":%b}' % (text[:-1], body)
