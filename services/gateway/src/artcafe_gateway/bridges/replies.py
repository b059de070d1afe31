"""Requests over one connection, and the replies to them.

nats-py presents the broker's inline status (`NATS/1.0 503`) as a header `Status`, which any publisher can
set. A `Reply` keeps the header block as it was received, where the two differ.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from artcafe_common.key_ring import KeyRing
from artcafe_gateway.delivery.fanout import BrokerSubscription, RenderGroup
from artcafe_gateway.delivery.signatures import MessageSigner

# What the broker replies, without a payload, when nobody subscribes to the subject of a request.
_NO_RESPONDERS = re.compile(rb"NATS/1\.0 503\r\n(Nats-Subject: [^\r\n]*\r\n)?\r\n")
# Replies have no sender.
_NO_SIGNER = MessageSigner(KeyRing.of(b""), "")


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply, with its header block as received."""

    data: bytes
    headers: bytes = b""

    @property
    def is_no_responders(self) -> bool:
        """Whether the broker itself replied that nobody subscribes to the subject."""
        return not self.data and _NO_RESPONDERS.fullmatch(self.headers) is not None


class Attachable(Protocol):
    """A connection that passes the messages of a subject to a subscription."""

    def new_inbox(self) -> str:
        """A new inbox."""

    async def attach(self, subject: str, subscription: BrokerSubscription) -> None:
        """Subscribes, and passes every message to `subscription`."""


class ReplyInbox(BrokerSubscription):
    """Receives the replies to one connection's requests; each request has a reply subject of its own."""

    __slots__ = ("_attached", "_connection", "_prefix", "_queues")

    def __init__(self, connection: Attachable) -> None:
        super().__init__(_NO_SIGNER, RenderGroup)
        self._connection = connection
        self._prefix = ""
        self._attached: asyncio.Task[None] | None = None
        self._queues: dict[str, asyncio.Queue[Reply]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[str, "asyncio.Queue[Reply]"]]:
        """Yields a reply subject, and the queue of the replies that arrive while the context is entered."""
        if self._attached is None:
            self._prefix = self._connection.new_inbox()
            self._attached = asyncio.ensure_future(self._connection.attach(f"{self._prefix}.*", self))
        await asyncio.shield(self._attached)
        # A responder knows the subject of the request that it received, and must not guess that of another.
        reply_subject = f"{self._prefix}.{secrets.token_hex(8)}"
        queue = self._queues[reply_subject] = asyncio.Queue()
        try:
            yield reply_subject, queue
        finally:
            del self._queues[reply_subject]

    def on_message(self, subject: str, reply: str, payload: bytes, headers: bytes) -> None:  # noqa: ARG002
        """Adds a reply to the queue of its request; one that nobody waits for is dropped."""
        queue = self._queues.get(subject)
        if queue is not None:
            queue.put_nowait(Reply(data=payload, headers=headers))
