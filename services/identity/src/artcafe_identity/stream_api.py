"""Forwards clients' calls of the JetStream API to the accounts of streams, after checking and limiting them.

Calls arrive from the clients' accounts through service imports. Only what cannot harm passes (`stream_api_checks`).
The broker handles the calls of all organizations one after another, so that of each organization only a few are in it
at once.
"""

import asyncio
import time

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.stream_api import StreamApiCall, verify_call
from artcafe_identity.account_repository import MAX_OWN_ROOTS, AccountRepository
from artcafe_identity.call_queue import CallQueue
from artcafe_identity.call_windows import CallWindows
from artcafe_identity.stream_api_checks import CallRefused, CheckedCall, check_call, subject_root
from artcafe_identity.stream_connections import StreamConnections, StreamsConnection

CALL_TIMEOUT_S = 4
# A caller has given up by then: the timeout of most libraries is 5 s.
MAX_WAIT_S = 4
MAX_CONCURRENT_CALLS = 64
# Of each account.
CONCURRENT_CALLS = 2
RATE_PAUSE_S = 0.01
QUEUE_IDLE_S = 60
# How many calls of the rate a call counts as. A list of a stream's subjects takes much longer than other calls, and a
# stream may need a change of its account.
SUBJECT_LIST_COST = 25
_COSTS = {"STREAM.CREATE.": 5, "STREAM.UPDATE.": 5, "CONSUMER.CREATE.": 2, "CONSUMER.DURABLE.CREATE.": 2}
MAX_LISTED_SUBJECTS = 10_000
_UNAVAILABLE, _NOT_ENABLED, _INVALID_STREAM = 10023, 10039, 10052
log = structlog.get_logger()


class _Call(msgspec.Struct, frozen=True, kw_only=True):
    message: Msg
    call: StreamApiCall | None
    received_at: float


class _State(msgspec.Struct, frozen=True):
    num_subjects: int = 0


class _Config(msgspec.Struct, frozen=True):
    subjects: list[str] = []


class _StreamInfo(msgspec.Struct, frozen=True):
    state: _State = _State()
    config: _Config = _Config()


class _StreamList(msgspec.Struct, frozen=True):
    total: int = 0
    streams: list[_StreamInfo] | None = None


class StreamApi:
    """Answers the checked calls; instances share them in a queue group."""

    def __init__(
        self, *, nc: Nats, accounts: AccountRepository, connections: StreamConnections, replicas: int = 1
    ) -> None:
        self._replicas = replicas
        self._accounts = accounts
        self._connections = connections
        self._windows = CallWindows(nc, self._on_call)
        self._queues: dict[str, CallQueue[_Call]] = {}
        # How many tasks make the calls of an account.
        self._workers: dict[str, int] = {}
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_CALLS)
        self._listing = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen to the calls of all accounts, and of those that are created."""
        await self.update()
        self._accounts.on_created.append(self._windows.add)

    async def update(self) -> None:
        """Listen to the calls of the accounts that exist now; forget queues and connections that are not used."""
        await self._windows.update(set(self._accounts.index.clients_accounts.values()))
        expired_at = time.monotonic() - QUEUE_IDLE_S
        for account, queue in tuple(self._queues.items()):
            if not queue and account not in self._workers and queue.used_at < expired_at:
                del self._queues[account]
        await self._connections.close_idle()

    async def close(self) -> None:
        """End the calls that are being made."""
        for task in tuple(self._running):
            task.cancel()
        await self._connections.close()

    def _on_call(self, account: str, message: Msg) -> None:
        queue = self._queues.get(account)
        if queue is None:
            queue = self._queues[account] = CallQueue()
        call = verify_call(message.subject, message.headers or {})
        queue.add(
            "" if call is None else call.client,
            _Call(message=message, call=call, received_at=time.monotonic()),
            1 if call is None else _cost(call.call, message.data),
        )
        if self._workers.get(account, 0) < CONCURRENT_CALLS:
            self._workers[account] = self._workers.get(account, 0) + 1
            task = asyncio.create_task(self._work(account, queue))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _work(self, account: str, queue: CallQueue[_Call]) -> None:
        """Make the calls of an account until none waits."""
        set_caller(CallerContext.service("identity"))
        try:
            while queue:
                call = queue.take()
                if call is None:
                    await asyncio.sleep(RATE_PAUSE_S)
                    continue
                try:
                    async with self._slots:
                        await self._respond(call)
                except Exception:
                    log.exception("stream_api_call_crashed")
                finally:
                    await self._windows.finished(account)
        finally:
            self._workers[account] -= 1
            if not self._workers[account]:
                del self._workers[account]

    async def _respond(self, waiting: _Call) -> None:
        message, call = waiting.message, waiting.call
        if call is None or not message.reply:
            return
        if time.monotonic() - waiting.received_at > MAX_WAIT_S:
            error = _error(503, _UNAVAILABLE, "too many calls of the JetStream API; try again later")
            await _reply(message, error)
            return
        try:
            answer = await self._forward(call, message.data)
        except CallRefused as error:
            answer = _error(400, error.err_code, str(error))
        except AccountMissing:
            answer = _error(503, _NOT_ENABLED, "JetStream not enabled for account")
        except (CommandError, nats.errors.Error, OSError, TimeoutError) as error:
            log.warning("stream_api_call_failed", reason=repr(error))
            answer = _error(503, _UNAVAILABLE, "the organization's streams are not available")
        await _reply(message, answer)

    async def _forward(self, call: StreamApiCall, body: bytes) -> bytes:
        tenant_id = await self._connections.find_tenant(call.account)
        checked = check_call(call.call, body, tenant_id=tenant_id, own=call.own, replicas=self._replicas)
        if call.own and not (await self._accounts.get_signing_account(tenant_id)).item.own_enabled:
            await self._accounts.enable_own_streams(tenant_id)
        connection = await self._connections.get(call.account, own=call.own)
        if _is_list_of_subjects(call.call, body):
            async with self._listing:
                await _require_few_subjects(connection, call.call)
                answer = await connection.nc.request(f"$JS.API.{call.call}", body, timeout=CALL_TIMEOUT_S)
            return answer.data
        await self._receive_roots(connection, checked)
        answer = await connection.nc.request(f"$JS.API.{call.call}", checked.body, timeout=CALL_TIMEOUT_S)
        # Another call may have removed them before the stream was there.
        await self._receive_roots(connection, checked)
        return answer.data

    async def _receive_roots(self, connection: StreamsConnection, checked: CheckedCall) -> None:
        """Have the streams' account receive what a stream is to store."""
        if not checked.roots:
            return
        signing = await self._accounts.get_signing_account(connection.tenant_id)
        if checked.roots <= set(signing.item.own_roots):
            return

        async def find_used() -> set[str]:
            return await _used_roots(connection)

        if not await self._accounts.add_own_roots(connection.tenant_id, set(checked.roots), find_used):
            raise CallRefused(
                f"the subjects of all streams may begin with at most {MAX_OWN_ROOTS} different tokens",
                _INVALID_STREAM,
            )


def _cost(call: str, body: bytes) -> int:
    if _is_list_of_subjects(call, body):
        return SUBJECT_LIST_COST
    return next((cost for prefix, cost in _COSTS.items() if call.startswith(prefix)), 1)


def _is_list_of_subjects(call: str, body: bytes) -> bool:
    return call.startswith("STREAM.INFO.") and bool(body)


async def _require_few_subjects(connection: StreamsConnection, call: str) -> None:
    """Refuse lists that would keep the broker from other calls for long."""
    answer = await connection.nc.request(f"$JS.API.{call}", b"", timeout=CALL_TIMEOUT_S)
    if msgspec.json.decode(answer.data, type=_StreamInfo).state.num_subjects > MAX_LISTED_SUBJECTS:
        raise CallRefused(f"subjects can be listed for streams of at most {MAX_LISTED_SUBJECTS} subjects")


async def _used_roots(connection: StreamsConnection) -> set[str]:
    """The first tokens of the subjects of all streams, without those that are always received."""
    roots: set[str] = set()
    offset = 0
    while True:
        answer = await connection.nc.request(
            "$JS.API.STREAM.LIST", msgspec.json.encode({"offset": offset}), timeout=CALL_TIMEOUT_S
        )
        page = msgspec.json.decode(answer.data, type=_StreamList)
        for stream in page.streams or ():
            for subject in stream.config.subjects:
                root = subject_root(connection.tenant_id, subject)
                if root is not None:
                    roots.add(root)
        offset += len(page.streams or ())
        if not page.streams or offset >= page.total:
            return roots


def _error(code: int, err_code: int, description: str) -> bytes:
    error = {"code": code, "err_code": err_code, "description": description}
    return msgspec.json.encode({"type": "error", "error": error})


async def _reply(message: Msg, body: bytes) -> None:
    try:
        await message.respond(body)
    except (nats.errors.Error, OSError):
        log.warning("stream_api_reply_not_sent")
