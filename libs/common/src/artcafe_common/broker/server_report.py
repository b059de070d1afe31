"""Reads the state of all servers and streams through the system account."""

from collections.abc import Iterable, Sequence

import msgspec
from nats.aio.client import Client as Nats

from artcafe_common.broker.server_requests import STATISTICS, request_servers
from artcafe_common.broker.system_account import STREAMS_PAGE_SIZE
from artcafe_common.bus.errors import ServiceUnavailable

# How many streams with a problem are named.
MAX_EXAMPLES = 5


class _Server(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    ver: str = ""


class _Traffic(msgspec.Struct, frozen=True, kw_only=True):
    msgs: int = 0
    bytes: int = 0


class _Statistics(msgspec.Struct, frozen=True, kw_only=True):
    mem: int = 0
    connections: int = 0
    subscriptions: int = 0
    slow_consumers: int = 0
    sent: _Traffic = _Traffic()
    received: _Traffic = _Traffic()


class _StatisticsReply(msgspec.Struct, frozen=True, kw_only=True):
    server: _Server
    statsz: _Statistics = _Statistics()


class _Replica(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    current: bool = False
    offline: bool = False


class _Cluster(msgspec.Struct, frozen=True, kw_only=True):
    leader: str = ""
    replicas: list[_Replica] = []


class _StreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    num_replicas: int = 1
    max_bytes: int = -1


class _StreamContent(msgspec.Struct, frozen=True, kw_only=True):
    messages: int = 0
    bytes: int = 0


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer as one server reports it."""

    name: str
    num_pending: int = 0
    num_ack_pending: int = 0
    num_redelivered: int = 0
    cluster: _Cluster | None = None


class StreamReplica(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as one server reports it."""

    name: str
    config: _StreamConfig = _StreamConfig()
    state: _StreamContent = _StreamContent()
    cluster: _Cluster | None = None
    consumer_detail: list[Consumer] | None = None


class _Account(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    stream_detail: list[StreamReplica] | None = None


class _StorageLimits(msgspec.Struct, frozen=True, kw_only=True):
    max_storage: int = 0


class _ApiStatistics(msgspec.Struct, frozen=True, kw_only=True):
    total: int = 0
    errors: int = 0


class _MetaCluster(msgspec.Struct, frozen=True, kw_only=True):
    leader: str = ""
    cluster_size: int = 1


class JetStream(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one server's JetStream."""

    config: _StorageLimits = _StorageLimits()
    storage: int = 0
    reserved_storage: int = 0
    api: _ApiStatistics = _ApiStatistics()
    meta_cluster: _MetaCluster | None = None
    account_details: list[_Account] | None = None


class _JetStreamReply(msgspec.Struct, frozen=True, kw_only=True):
    server: _Server
    data: JetStream = JetStream()


class ServerStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The connections and the traffic of one server since its start."""

    version: str
    statistics: _Statistics


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as all its servers report it."""

    account: str
    name: str
    leader: bool
    replicas: int
    replicas_current: int
    messages: int
    bytes: int
    max_bytes: int
    consumers: list[Consumer]


async def read_statistics(system: Nats) -> dict[str, ServerStatistics]:
    """The statistics of each server, by name. Raises ServiceUnavailable if no server replies."""
    replies = [
        msgspec.json.decode(reply, type=_StatisticsReply)
        for reply in await request_servers(system, STATISTICS, b"")
    ]
    return {
        reply.server.name: ServerStatistics(version=reply.server.ver, statistics=reply.statsz)
        for reply in replies
    }


async def read_jetstream(
    system: Nats, *, account: str | None = None
) -> tuple[dict[str, JetStream], list[Stream]]:
    """The JetStream of each server by name, and all streams; of one account with its consumers, if given.

    Raises ServiceUnavailable if no server replies.
    """
    by_server: dict[str, JetStream] = {}
    found: dict[tuple[str, str], dict[str, StreamReplica]] = {}
    offset = 0
    while True:
        request: dict[str, object] = {"streams": True, "config": True}
        if account is None:
            request |= {"accounts": True, "offset": offset, "limit": STREAMS_PAGE_SIZE}
        else:
            request |= {"account": account, "consumer": True}
        pages = []
        for reply in await request_servers(system, "JSZ", msgspec.json.encode(request)):
            try:
                decoded = msgspec.json.decode(reply, type=_JetStreamReply)
            except msgspec.DecodeError as error:
                raise ServiceUnavailable("the broker's report cannot be read") from error
            by_server[decoded.server.name] = decoded.data
            pages.append(decoded.data.account_details or [])
            for detail in pages[-1]:
                for stream in detail.stream_detail or ():
                    found.setdefault((detail.id, stream.name), {})[decoded.server.name] = stream
        if account is not None or all(len(page) < STREAMS_PAGE_SIZE for page in pages):
            return by_server, [merge_replicas(*key, replicas) for key, replicas in found.items()]
        offset += STREAMS_PAGE_SIZE


def merge_replicas(account: str, name: str, replicas: dict[str, StreamReplica]) -> Stream:
    """One stream from the reports of its servers, of which the leader knows the most."""
    leader = next(
        (
            server
            for server, each in replicas.items()
            if each.cluster is None or each.cluster.leader == server
        ),
        None,
    )
    of_leader = replicas[leader] if leader is not None else next(iter(replicas.values()))
    followers = of_leader.cluster.replicas if of_leader.cluster else []
    current = sum(each.current and not each.offline for each in followers) + (leader is not None)
    return Stream(
        account=account,
        name=name,
        leader=leader is not None,
        replicas=of_leader.config.num_replicas,
        replicas_current=current,
        messages=of_leader.state.messages,
        bytes=of_leader.state.bytes,
        max_bytes=max(of_leader.config.max_bytes, 0),
        consumers=_merge_consumers(replicas.values()),
    )


def _merge_consumers(replicas: Iterable[StreamReplica]) -> list[Consumer]:
    # A consumer has a leader of its own, which need not be the stream's; followers know less, never more.
    by_name: dict[str, Consumer] = {}
    for replica in replicas:
        for each in replica.consumer_detail or ():
            known = by_name.get(each.name)
            if known is None or each.num_pending > known.num_pending:
                by_name[each.name] = each
    return list(by_name.values())


def problems_of(streams: Sequence[Stream]) -> tuple[list[Stream], list[Stream]]:
    """The streams without a leader, and those with a leader that miss a replica."""
    headless = [each for each in streams if not each.leader]
    incomplete = [each for each in streams if each.leader and each.replicas_current < each.replicas]
    return headless, incomplete
