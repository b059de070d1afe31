"""Keeps a client connected, as the table in `states` says."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from artcafe_client.backoff import Backoff
from artcafe_client.errors import ArtcafeError, ClientClosed, ConnectionFailed, ConnectionLost, NotConnected
from artcafe_client.states import Action, Event, State, next_transition
from artcafe_client.transports.link import Dial, DialFailed, Link, Loss

# A connection that lasted this long was a success: its loss is not a further failure of the same kind. With several
# servers, the next one is ready when one after another is restarted.
STABLE_AFTER_S, CLUSTER_STABLE_AFTER_S = 5.0, 1.0
log = logging.getLogger("artcafe_client")


class Hooks:
    """What the client does beside the connection itself; each is called with the action of the same name."""

    def __init__(
        self,
        *,
        resume: Callable[[Link], Awaitable[None]],
        stop_receiving: Callable[[], Awaitable[None]],
        end: Callable[["ArtcafeError | None"], None],
        on_state: Callable[[State], None],
    ) -> None:
        self.resume = resume
        self.stop_receiving = stop_receiving
        self.end = end
        self.on_state = on_state


class Connection:
    """A connection that comes back: one link after another, until it is closed or refused.

    `error` says why it is closed, unless the program closed it.
    """

    def __init__(self, dial: Dial, hooks: Hooks, backoff: Backoff) -> None:
        self.state = State.DISCONNECTED
        self.error: ArtcafeError | None = None
        self.last_loss: Loss | None = None
        # The link, once its subscriptions are resumed.
        self.link: Link | None = None
        self._dial = dial
        self._hooks = hooks
        self._backoff = backoff
        self._dialled: Link | None = None
        self._run_task: asyncio.Task[None] | None = None
        self._changed: asyncio.Event | None = None

    # -- for the client ------------------------------------------------------------------------

    async def open(self, timeout_s: "float | None") -> None:
        """Connects. ConnectionFailed if that takes longer than `timeout_s`; 0 allows one attempt."""
        if self._run_task is None:
            self._changed = asyncio.Event()
            self._run_task = asyncio.get_running_loop().create_task(self._run())
        try:
            await asyncio.wait_for(self._opened(one_attempt=timeout_s == 0), timeout_s or None)
        except asyncio.TimeoutError:
            failure = (
                self.last_loss.error
                if self.last_loss
                else ConnectionFailed(f"no connection in {timeout_s:g} s")
            )
            await self.close()
            raise failure from None
        except BaseException:
            await self.close()
            raise

    def require_link(self) -> Link:
        """The link. NotConnected, ClientClosed, or the error with which the key was refused."""
        if self.link is not None:
            return self.link
        if self.state is State.CLOSED:
            raise self.error or ClientClosed("the client is closed")
        raise NotConnected("there is no connection now")

    async def wait_link(self) -> Link:
        """The link, as soon as there is one. ClientClosed, or the error with which the key was refused."""
        while self.link is None:
            if self.state is State.CLOSED or self._changed is None:
                self.require_link()
            await self.wait_change()
        return self.link

    async def wait_change(self) -> None:
        """Returns when the state or the link has changed."""
        if self._changed is None:
            raise ClientClosed("the client is not open")
        await self._changed.wait()

    async def drain(self) -> None:
        """Stops receiving, finishes what was begun, and closes."""
        if self.state is State.DRAINING:
            await self._closed()
            return
        await self._on(Event.DRAIN)
        await self.close()

    async def close(self) -> None:
        """Closes; harmless if it is closed."""
        task, self._run_task = self._run_task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait([task])
        await self._on(Event.CLOSE)

    # -- the loop ------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self.state is State.DISCONNECTED:
            await self._on(Event.OPEN)
            try:
                link = self._dialled = await self._dial()
            except DialFailed as failed:
                loss = failed.loss
            except Exception as error:
                log.exception("connecting failed")
                loss = Loss(Event.LOST, ConnectionFailed(f"connecting failed: {error!r}"))
            else:
                connected_at = loop.time()
                log.info("connected over %s", link.transport, extra={"connection_id": link.connection_id})
                await self._on(Event.WELCOME)
                loss = await asyncio.shield(link.lost)
                stable_after_s = CLUSTER_STABLE_AFTER_S if link.has_others else STABLE_AFTER_S
                if loop.time() - connected_at >= stable_after_s:
                    self._backoff.reset()
            await self._on(loss.event, loss)

    async def _on(self, event: Event, loss: "Loss | None" = None) -> None:
        """Follows the table: the new state, then its actions."""
        transition = next_transition(self.state, event)
        if transition is None:
            return
        if loss is not None:
            self.last_loss = loss
            if event is Event.REFUSED:
                self.error = loss.error
        self.link = None if transition.to is not State.DRAINING else self.link
        self._set_state(transition.to)
        for action in transition.actions:
            await self._do(action, loss)

    async def _do(self, action: Action, loss: "Loss | None") -> None:
        if action is Action.RESUME and self._dialled is not None:
            try:
                await self._hooks.resume(self._dialled)
            except ConnectionLost as error:
                # Lost again before it was ready: the loop goes on with the next one.
                self._dialled.abort(str(error))
            if not self._dialled.lost.done():
                self.link = self._dialled
                self._notify()
        elif action is Action.HANG_UP and self._dialled is not None:
            link, self._dialled = self._dialled, None
            await link.close()
        elif action is Action.BACK_OFF:
            await self._wait(None, loss)
        elif action is Action.WAIT_AS_TOLD:
            await self._wait(loss.retry_after_s if loss else None, loss)
        elif action is Action.STOP_RECEIVING:
            await self._hooks.stop_receiving()
        elif action is Action.END:
            self._hooks.end(self.error)
        # DIAL is the loop's next step; pending answers fail with their link.

    async def _wait(self, retry_after_s: "float | None", loss: "Loss | None") -> None:
        delay_s = self._backoff.next_delay(retry_after_s)
        log.warning(
            "not connected: %s; retrying in %.1f s",
            loss.error if loss else "",
            delay_s,
            extra={"delay_s": delay_s, "attempt": self._backoff.attempts},
        )
        await asyncio.sleep(delay_s)

    async def _closed(self) -> None:
        while self.state is not State.CLOSED:
            await self.wait_change()

    async def _opened(self, *, one_attempt: bool) -> None:
        while self.link is None:
            if self.state is State.CLOSED:
                raise self.error or ClientClosed("the client is closed")
            loss = self.last_loss
            if one_attempt and loss is not None and loss.event is Event.LOST:
                raise loss.error
            await self.wait_change()

    def _set_state(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._notify()
            self._hooks.on_state(state)

    def _notify(self) -> None:
        # Wakes all that wait now, and none that wait later.
        if self._changed is not None:
            self._changed.set()
            self._changed = asyncio.Event()
