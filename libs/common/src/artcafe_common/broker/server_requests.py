"""Requests to the monitoring of nats-servers, over the broker's system account.

Every server of a cluster replies to a request. How many there are is asked together with each request, so nothing
waits longer than for the last of them; only a server that was killed a moment ago is waited for in vain.
"""

import msgspec
import nats.errors
from nats.aio.client import Client as Nats

from artcafe_common.bus.errors import ServiceUnavailable

FIRST_REPLY_TIMEOUT_S = 2.0
# After a reply, how long to wait for the next server's.
NEXT_REPLY_WAIT_S = 0.3
SERVER_TIMEOUT_S = 5.0
STATISTICS = "STATSZ"
ALL_SERVERS = "$SYS.REQ.SERVER.PING"


class _Statistics(msgspec.Struct, frozen=True, kw_only=True):
    active_servers: int = 0


class _StatisticsReply(msgspec.Struct, frozen=True, kw_only=True):
    statsz: _Statistics = _Statistics()


async def request_servers(system: Nats, name: str, request: bytes) -> list[bytes]:
    """The replies of all servers to a monitoring request. Raises ServiceUnavailable if none replies."""
    return await request_all(system, f"{ALL_SERVERS}.{name}", request)


async def request_all(system: Nats, subject: str, request: bytes) -> list[bytes]:
    """The replies of all servers to a message on `subject`. Raises ServiceUnavailable if none replies."""
    inbox = system.new_inbox()
    counted, counts = f"{inbox}.count", f"{ALL_SERVERS}.{STATISTICS}"
    subscription = await system.subscribe(f"{inbox}.*")
    replies: list[bytes] = []
    servers = 0
    try:
        await system.publish(counts, b"", reply=counted)
        if subject != counts:
            await system.publish(subject, request, reply=f"{inbox}.reply")
        while not servers or len(replies) < servers:
            wait = NEXT_REPLY_WAIT_S if replies else FIRST_REPLY_TIMEOUT_S
            message = await subscription.next_msg(timeout=wait)
            if message.subject == counted:
                servers = max(servers, _count(system, message.data))
            if message.subject != counted or subject == counts:
                if not message.data:
                    raise ServiceUnavailable("the broker's system account does not reply")
                replies.append(message.data)
    except (nats.errors.TimeoutError, TimeoutError):
        if not replies:
            raise ServiceUnavailable("the broker's system account does not reply") from None
    except (nats.errors.Error, OSError) as error:
        raise ServiceUnavailable("the broker is not available") from error
    finally:
        if not system.is_closed:
            await subscription.unsubscribe()
    return replies


def _count(system: Nats, statistics: bytes) -> int:
    """How many servers one of them knows of; 0 if it cannot know yet."""
    try:
        servers = msgspec.json.decode(statistics, type=_StatisticsReply).statsz.active_servers
    except msgspec.DecodeError:
        return 0
    # A server of a cluster that has just started knows only itself.
    is_clustered = len(system.servers) + len(system.discovered_servers) > 1
    return 0 if is_clustered and servers == 1 else servers


async def request_server(system: Nats, server_id: str, name: str, request: bytes) -> bytes:
    """The reply of one server. Raises ServiceUnavailable."""
    try:
        reply = await system.request(f"$SYS.REQ.SERVER.{server_id}.{name}", request, timeout=SERVER_TIMEOUT_S)
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise ServiceUnavailable("a server of the broker does not reply") from error
    return reply.data
