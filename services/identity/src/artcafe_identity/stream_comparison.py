"""Compares the platform's streams with tenancy's records, and restores those that are missing or were changed.

What a stream should be comes from the records alone: nothing that is stored with the stream is believed, its version
in its metadata included.
"""

import hashlib
from functools import partial
from typing import Any

import msgspec
import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.system_account import list_streams
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.bus.stream_replicas import choose_replicas
from artcafe_common.concurrency import run_bounded
from artcafe_common.contracts.identity.streams import EnsureStream
from artcafe_common.contracts.tenancy.history import ListWantedStreams
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.own_stream_replicas import OwnStreamReplicas
from artcafe_identity.tenant_streams import TenantStreamManager, stream_config

MAX_CONCURRENT = 8
# The others follow in the next rounds; only after a start are there so many.
MAX_PER_ROUND = 2_000
# What the broker reports for settings that `stream_config` leaves out.
_DEFAULTS: dict[str, Any] = {
    "retention": "limits",
    "max_consumers": -1,
    "max_msg_size": -1,
    "discard": "old",
    "storage": "file",
}
_COMPARED = (
    *_DEFAULTS,
    "subjects",
    "max_msgs",
    "max_bytes",
    "max_age",
    "max_msgs_per_subject",
    "duplicate_window",
    "allow_direct",
    "no_ack",
    "sealed",
    "deny_delete",
    "deny_purge",
    "mirror",
    "sources",
    "subject_transform",
)
Streams = dict[str, dict[str, Any]]
log = structlog.get_logger()


def matches(actual: dict[str, Any], wanted: EnsureStream) -> bool:
    """Whether the broker's configuration of a stream is the wanted one, its replicas aside."""
    expected = stream_config(wanted, replicas=1).as_dict()
    return all(_setting(actual, name) == _setting(expected, name) for name in _COMPARED) and _republish(
        actual
    ) == _republish(expected)


def has_replicas(actual: dict[str, Any], setting: int) -> bool:
    """Whether a stream has the replicas that it should have, which may be an operator's choice."""
    replicas: int = actual.get("num_replicas") or 1
    return choose_replicas(replicas, actual.get("metadata"), setting) == replicas


def _setting(config: dict[str, Any], name: str) -> Any:
    return config.get(name) or _DEFAULTS.get(name)


def _republish(config: dict[str, Any]) -> tuple[str, str] | None:
    republish = config.get("republish")
    return (republish["src"], republish["dest"]) if republish else None


class StreamComparison:
    """Checks an account's streams when they are not what they were when they were last found right.

        unknown ──seen twice──> checked ──all match──> right ──streams change──> unknown
                                   └──── restored ────> unknown

    A state must be seen twice, because a change that is being made is not an error.
    """

    def __init__(
        self,
        *,
        system: Nats,
        bus: Bus,
        accounts: AccountRepository,
        streams: TenantStreamManager,
        own_streams: OwnStreamReplicas,
        replicas: int = 1,
    ) -> None:
        self._replicas = replicas
        self._own_streams = own_streams
        self._system = system
        self._bus = bus
        self._accounts = accounts
        self._streams = streams
        self._seen: dict[str, bytes] = {}
        self._right: dict[str, bytes] = {}

    async def run(self) -> None:
        """Compare all tenants once. Raises ServiceUnavailable while the broker does not answer."""
        actual = await list_streams(self._system)
        await self._own_streams.run(actual)
        due: list[tuple[str, Streams, bytes]] = []
        for tenant_id, account in self._accounts.index.streams_accounts.items():
            streams = actual.get(account, {})
            state = _digest(streams)
            if self._right.get(tenant_id) == state:
                continue
            if self._seen.get(tenant_id) == state:
                due.append((tenant_id, streams, state))
            self._seen[tenant_id] = state

        async def check(tenant_id: str, streams: Streams, state: bytes) -> None:
            try:
                await self._check(tenant_id, streams, state)
            except CommandError as error:
                log.warning("streams_not_compared", tenant_id=tenant_id, reason=error.detail)

        await run_bounded((partial(check, *each) for each in due[:MAX_PER_ROUND]), limit=MAX_CONCURRENT)

    async def _check(self, tenant_id: str, streams: Streams, state: bytes) -> None:
        caller = msgspec.structs.replace(CallerContext.service("identity"), tenant_id=tenant_id)
        wanted = (await self._bus.call(ListWantedStreams(), caller=caller)).streams
        wrong = [each for each in wanted if not matches(streams.get(each.stream, {}), each)]
        for each in wrong:
            log.error(
                "stream_restored",
                tenant_id=tenant_id,
                stream=each.stream,
                found="changed" if each.stream in streams else "missing",
            )
            await self._streams.ensure(each, believe_version=False)
        few = [
            each
            for each in wanted
            if each not in wrong and not has_replicas(streams[each.stream], self._replicas)
        ]
        for each in few:
            log.info("stream_replicas_changed", tenant_id=tenant_id, stream=each.stream)
            await self._streams.ensure(each, believe_version=False)
        if not wrong and not few:
            self._right[tenant_id] = state


def _digest(streams: Streams) -> bytes:
    return hashlib.sha256(msgspec.json.encode(streams, order="deterministic")).digest()
