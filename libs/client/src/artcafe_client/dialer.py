"""Opens connections: over NATS where the broker can be reached, else over WebSocket."""

import asyncio
import logging
import random
from collections.abc import Iterable
from typing import Any

from artcafe_client.errors import ConfigurationError, ConnectionFailed
from artcafe_client.identity import Identity
from artcafe_client.settings import Options, Settings
from artcafe_client.states import Event
from artcafe_client.tasks import Tasks
from artcafe_client.transports.link import DialFailed, Link, Loss, OnError
from artcafe_client.transports.nats import NatsLink
from artcafe_client.transports.websocket import WebSocketLink

# Until it has answered once, the broker gets this long before WebSocket is tried.
NATS_PROBE_S = 3.0
# A server that has not answered after this time is not waited for alone: a node may have lost what checks keys.
NEXT_SERVER_AFTER_S = 1.0
# A broker that has just started refuses every key until the platform is connected to it again.
MAX_PASSING_REFUSALS = 5
log = logging.getLogger("artcafe_client")


class Dialer:
    """Opens one connection after another; the transport of the first one is kept.

    It is kept because a message that is published again is recognized by its id within one transport only.
    """

    def __init__(self, settings: Settings, options: Options, on_error: OnError) -> None:
        self._settings = settings
        self._options = options
        self._on_error = on_error
        self._identity = Identity(settings.client_id, settings.seed)
        if options.sign and not settings.client_id:
            raise ConfigurationError("signing messages needs client_id")
        self._transport = settings.transport
        # In the order in which they are tried: the one of the last connection comes last.
        self._servers = settings.nats_url.split(",")
        random.shuffle(self._servers)
        self._tasks = Tasks()
        self._was_accepted = False
        self._refusals = 0
        if self._transport == "auto" and not (settings.nats_url and settings.tenant_id):
            if settings.nats_url:
                log.info("using WebSocket: direct NATS needs tenant_id")
            self._transport = "websocket" if settings.websocket_url else "nats"

    async def dial(self) -> Link:
        """Opens a connection. DialFailed."""
        if self._transport != "auto":
            link = await self._dial(self._transport, self._options.attempt_timeout)
        else:
            link = await self._choose()
            self._transport = "nats" if link.transport == "nats" else "websocket"
        self._was_accepted = True
        self._refusals = 0
        return link

    async def _choose(self) -> Link:
        if not self._settings.websocket_url:
            return await self._dial("nats", self._options.attempt_timeout)
        try:
            return await self._dial("nats", min(NATS_PROBE_S, self._options.attempt_timeout))
        except DialFailed as failed:
            if failed.loss.event is Event.REFUSED:
                raise
            log.info("using WebSocket: %s", failed)
            return await self._dial("websocket", self._options.attempt_timeout)

    async def _dial(self, transport: str, timeout_s: float) -> Link:
        if transport == "websocket":
            return await self._dial_websocket(timeout_s)
        if transport != "nats":
            raise ConfigurationError(f"{transport} is not a transport")
        return await self._dial_nats(timeout_s)

    async def _dial_nats(self, timeout_s: float) -> Link:
        """Opens a connection to the server that accepts the key first: the next one is asked after each failure, or a second."""
        waiting = list(self._servers)
        attempts: dict[asyncio.Task[NatsLink], str] = {}
        failure: DialFailed | None = None
        try:
            while waiting or attempts:
                if waiting:
                    server = waiting.pop(0)
                    attempts[asyncio.ensure_future(self._try_server(server, timeout_s))] = server
                done, _ = await asyncio.wait(
                    attempts,
                    timeout=NEXT_SERVER_AFTER_S if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for attempt in done:
                    server = attempts.pop(attempt)
                    error = attempt.exception()
                    if error is None:
                        self._servers.remove(server)
                        self._servers.append(server)
                        return attempt.result()
                    if not isinstance(error, DialFailed) or error.loss.event is Event.REFUSED:
                        raise error
                    failure = error
        finally:
            # Not waited for: a server that does not answer is slow to close, too.
            if attempts:
                self._tasks.start(_give_up(tuple(attempts)))
        raise failure or DialFailed(Loss(Event.LOST, ConnectionFailed("no server is given")))

    async def _try_server(self, server: str, timeout_s: float) -> NatsLink:
        """A connection to one server. DialFailed."""
        try:
            return await NatsLink.dial(
                server,
                self._identity,
                self._settings.tenant_id,
                timeout_s=timeout_s,
                tls=self._options.tls,
                sign=self._options.sign,
                on_error=self._on_error,
                has_others=len(self._servers) > 1,
                read_roster=self._read_roster if self._settings.websocket_url else None,
            )
        except DialFailed as error:
            raise self._weigh(error) from None

    async def _dial_websocket(self, timeout_s: float) -> WebSocketLink:
        return await WebSocketLink.dial(
            self._settings.websocket_url,
            self._identity,
            timeout_s=timeout_s,
            tls=self._options.tls,
            on_error=self._on_error,
        )

    async def _read_roster(self, timeout_s: float) -> list[dict[str, Any]]:
        """The roster over a WebSocket of its own: no subject of the broker answers for it."""
        try:
            link = await self._dial_websocket(timeout_s)
        except DialFailed as failed:
            raise failed.loss.error from None
        try:
            return await link.roster(timeout_s)
        finally:
            await link.close()

    def _weigh(self, failed: DialFailed) -> DialFailed:
        """A refusal of a key that was accepted before may pass."""
        if failed.loss.event is not Event.REFUSED or not self._was_accepted:
            return failed
        self._refusals += 1
        if self._refusals > MAX_PASSING_REFUSALS:
            return failed
        return DialFailed(Loss(Event.LOST, failed.loss.error))


async def _give_up(attempts: "Iterable[asyncio.Task[NatsLink]]") -> None:
    """Ends attempts that are not needed any more, and connections that were accepted all the same."""
    for attempt in attempts:
        attempt.cancel()
    for ended in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(ended, NatsLink):
            await ended.close()
