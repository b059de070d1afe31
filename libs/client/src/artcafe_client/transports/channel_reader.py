"""Reads a channel's history and what follows, over JetStream.

The messages are pulled, as many as the subscription has room for, so a slow program holds up nothing but itself.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any, NamedTuple

import msgspec
import nats.errors
from nats.aio.msg import Msg

from artcafe_client.error_codes import ForbiddenSubject, HistoryUnavailable, StreamUnavailable
from artcafe_client.errors import ConnectionLost
from artcafe_client.header_block import parse_headers, parse_status
from artcafe_client.message import Message
from artcafe_client.transports.link import Feed, Start
from artcafe_client.transports.nats_client import NatsClient

STREAM = "CHANNELS"
# How many messages of one channel the stream keeps.
MESSAGES_PER_CHANNEL = 10_000
API = "$JS.PLATFORM.API"
MAX_BATCH = 256
EXPIRES_S = 30.0
HEARTBEAT_S = 5.0
API_TIMEOUT_S = 5.0
FULL_POLL_S = 0.02
RETRY_S = 0.5
# The number of tokens of an acknowledgement's subject without a domain.
OLDER_FORM = 9
# The broker deletes the consumer of a reader that does not come back.
INACTIVE_THRESHOLD_S = 60.0
log = logging.getLogger("artcafe_client")


class Place(NamedTuple):
    """What a delivery says of itself: its number in the stream and of this consumer, and when it was stored."""

    seq: int
    delivery: int
    time: float

    @classmethod
    def of(cls, reply: str) -> "Place | None":
        """Parse a reply subject of JetStream, in its older form or the one with a domain."""
        tokens = reply.split(".")
        if tokens[:2] != ["$JS", "ACK"]:
            return None
        at = 5 if len(tokens) == OLDER_FORM else 7
        try:
            return cls(int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 2]) / 1e9)
        except (ValueError, IndexError):
            return None


class ChannelReader:
    """Delivers the messages of one channel to one subscription, in order, each once."""

    def __init__(
        self,
        nc: NatsClient,
        channel: str,
        subject: str,
        feed: Feed,
        confirm: Callable[[str], Awaitable[None]],
    ) -> None:
        self._nc = nc
        self._confirm = confirm
        self._channel = channel
        self._subject = subject
        self._feed = feed
        self._start = Start()
        self._next_seq: int | None = None
        self._consumer = ""
        self._delivery = 0
        # Messages that were asked for and have not arrived.
        self._expected = 0
        self._inbox = ""
        self._listening: int | None = None
        self._heard = asyncio.Event()
        self._heard_at = 0.0
        self._broken = False
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self, start: Start) -> None:
        """Begins; HistoryUnavailable if the client may not read the stream, StreamUnavailable while it is away."""
        self._start = start
        self._is_stopping = False
        after = await self._create_consumer(await self._policy(start))
        if start.is_now or isinstance(start.since, int):
            first = after + 1 if start.is_now else start.since
            self._next_seq = first if isinstance(first, int) else None
        if isinstance(start.since, int):
            await self._check_gap(start.since)
        self._feed.started(after if start.is_now else None)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Ends, and deletes the consumer."""
        task, self._task = self._task, None
        if task is not None:
            # `wait_for` of Python 3.11 loses a cancellation that comes together with what it waits for.
            self._is_stopping = True
            task.cancel()
            await asyncio.wait([task])
        await self._leave()

    # -- the consumer --------------------------------------------------------------------------

    async def _policy(self, start: Start) -> dict[str, Any]:
        if self._next_seq is not None:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": self._next_seq}
        if isinstance(start.since, datetime):
            since = start.since if start.since.tzinfo else start.since.replace(tzinfo=timezone.utc)
            return {"deliver_policy": "by_start_time", "opt_start_time": since.isoformat()}
        if start.since is not None:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, start.since)}
        if start.last:
            seq = await self._seq_from_end(start.last)
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": seq}
        return {"deliver_policy": "new"}

    async def _create_consumer(self, policy: dict[str, Any]) -> int:
        """Returns the last `seq` before the first message that will be delivered."""
        await self._leave()
        self._consumer = f"sdk-{secrets.token_hex(8)}"
        self._delivery = self._expected = 0
        self._broken = False
        # A subscription of its own for each consumer: what is late for another one is not mixed in.
        self._inbox = self._nc.new_inbox()
        self._listening = await self._nc.listen(self._inbox, "", self._receive)
        config = {
            "name": self._consumer,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": self._subject,
            "inactive_threshold": int(INACTIVE_THRESHOLD_S * 1e9),
            "mem_storage": True,
            **policy,
        }
        body = {"stream_name": STREAM, "config": config, "action": "create"}
        created = await self._call(f"CONSUMER.CREATE.{STREAM}.{self._consumer}.{self._subject}", body)
        return int(created.get("delivered", {}).get("stream_seq", 0))

    async def _call(self, call: str, body: Any) -> dict[str, Any]:
        """Calls JetStream's API; errors as `_request`, and StreamUnavailable for one that it answers."""
        reply = await self._request(call, body)
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
        if "error" in answer:
            raise StreamUnavailable(str(answer["error"].get("description", "")))
        return answer

    async def _request(self, call: str, body: Any) -> Msg:
        """HistoryUnavailable if the client may not call it, StreamUnavailable while nobody answers."""
        subject = f"{API}.{call}"
        payload = msgspec.json.encode(body) if body is not None else b""
        request = asyncio.ensure_future(self._nc.request(subject, payload, API_TIMEOUT_S))
        try:
            # The request is sent in its first turn, and before the PING that confirms it.
            await asyncio.sleep(0)
            await self._confirm(subject)
            return await request
        except ForbiddenSubject:
            raise HistoryUnavailable("the client may not read the channel's history over NATS") from None
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
            raise StreamUnavailable("the channel's stream does not answer") from None
        finally:
            if not request.done():
                request.cancel()
            elif not request.cancelled():
                # Nobody may have waited for it.
                request.exception()

    async def _leave(self) -> None:
        if self._listening is not None:
            with contextlib.suppress(nats.errors.Error):
                await self._nc.stop_listening(self._listening)
            self._listening = None
        if self._consumer:
            consumer, self._consumer = self._consumer, ""
            with contextlib.suppress(nats.errors.Error):
                # Its answer is of no interest.
                await self._nc.publish(f"{API}.CONSUMER.DELETE.{STREAM}.{consumer}")

    async def _check_gap(self, since: int) -> None:
        """Tells of messages that are not kept any more, as the gateway does.

        The stream removes the oldest messages first, of a channel or of all, and does not record what. While the message
        before `since` is kept, nothing is missing.
        """
        state = (await self._call(f"STREAM.INFO.{STREAM}", None)).get("state", {})
        first, last = int(state.get("first_seq", 0)), int(state.get("last_seq", 0))
        if since > last + 1:
            # The stream was lost, or is an older one from a backup.
            self._next_seq = last + 1
            self._broken = True
            self._feed.deliver_gap(last + 1, since - 1)
            return
        previous = await self._direct_get({"seq": since - 1}) if since > 1 else None
        if previous is not None and (previous.headers or {}).get("Nats-Subject") == self._subject:
            return
        own, count = await self._count_from(1)
        is_full = count >= MESSAGES_PER_CHANNEL and own > since
        if first > since or is_full:
            self._feed.deliver_gap(since, (own if count else first) - 1)

    async def _seq_from_end(self, count: int) -> int:
        """The `seq` of the first of the newest `count` messages, by bisection; 1 if there are no more."""
        first, stored = await self._count_from(1)
        if stored <= count:
            return 1
        low, high = first, await self._last_seq()
        while low < high:
            middle = (low + high + 1) // 2
            seq, following = await self._count_from(middle)
            if following >= count:
                low = max(seq, middle)
                if following == count:
                    break
            else:
                high = middle - 1
        return low

    async def _count_from(self, seq: int) -> tuple[int, int]:
        reply = await self._direct_get({"seq": seq, "next_by_subj": self._subject, "batch": 1})
        if reply is None:
            return seq, 0
        headers = reply.headers or {}
        return int(headers["Nats-Sequence"]), int(headers.get("Nats-Num-Pending", 0)) + 1

    async def _last_seq(self) -> int:
        reply = await self._direct_get({"last_by_subj": self._subject})
        return int((reply.headers or {})["Nats-Sequence"]) if reply is not None else 0

    async def _direct_get(self, query: dict[str, Any]) -> "Msg | None":
        reply = await self._request(f"DIRECT.GET.{STREAM}", query)
        return reply if "Nats-Sequence" in (reply.headers or {}) else None

    # -- reading -------------------------------------------------------------------------------

    async def _run(self) -> None:
        # On the next connection the subscription begins again.
        while self._nc.is_connected and not self._is_stopping:
            await self._pull_or_wait()

    async def _pull_or_wait(self) -> None:
        try:
            await self._pull()
        except (HistoryUnavailable, StreamUnavailable, ConnectionLost, nats.errors.Error, OSError) as error:
            log.info("the channel cannot be read now: %s", error, extra={"subject": self._subject})
            self._broken = True
            await asyncio.sleep(RETRY_S)

    async def _pull(self) -> None:
        if self._broken:
            await self._create_consumer(await self._policy(self._start))
        room = self._feed.room - self._expected
        if room <= 0 and not self._expected:
            await asyncio.sleep(FULL_POLL_S)
            return
        if room > 0 and self._expected <= MAX_BATCH // 2:
            await self._ask(min(MAX_BATCH, room))
        try:
            await asyncio.wait_for(self._heard.wait(), HEARTBEAT_S)
        except asyncio.TimeoutError:
            if asyncio.get_running_loop().time() - self._heard_at > HEARTBEAT_S * 2.5:
                log.info("the channel's reader does not answer; it is made again")
                self._broken = True
        self._heard.clear()

    async def _ask(self, count: int) -> None:
        """Asks for messages; the broker sends them as they are stored."""
        if not self._expected:
            self._heard_at = asyncio.get_running_loop().time()
        self._expected += count
        query = {"batch": count, "expires": int(EXPIRES_S * 1e9), "idle_heartbeat": int(HEARTBEAT_S * 1e9)}
        await self._nc.publish(
            f"{API}.CONSUMER.MSG.NEXT.{STREAM}.{self._consumer}",
            msgspec.json.encode(query),
            reply=self._inbox,
        )

    def _receive(self, subject: bytes, reply: bytes, payload: bytes, headers: "bytes | None") -> None:
        self._heard_at = asyncio.get_running_loop().time()
        status = parse_status(headers) if headers and not payload else ""
        if headers and status:
            self._on_status(status, parse_headers(headers))
            return
        place = Place.of(reply.decode())
        if place is None or self._broken:
            return
        self._delivery += 1
        if place.delivery != self._delivery:
            # A delivery was lost on the way: read again from there.
            self._broken = True
            self._heard.set()
            return
        self._expected -= 1
        if self._expected <= MAX_BATCH // 2:
            self._heard.set()
        if self._next_seq is None or place.seq >= self._next_seq:
            self._next_seq = place.seq + 1
            message = Message(subject.decode(), payload, place.time, self._channel, place.seq, headers)
            self._feed.deliver(message)

    def _on_status(self, status: str, headers: dict[str, str]) -> None:
        """100 is a sign of life; 404 and 408 end a request; anything else ends the consumer."""
        if status in ("404", "408"):
            self._expected = max(
                0, self._expected - int(headers.get("Nats-Pending-Messages", self._expected))
            )
        elif status != "100":
            self._broken = True
        self._heard.set()
