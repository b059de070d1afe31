"""One round: traffic of two new organizations, a fault in the middle, and what the checkers found."""

import asyncio
import time

from websockets.asyncio.client import connect as connect_websocket

from artcafe_client.states import State
from chaos.direct import StoredTraffic, SubjectTraffic, connect
from chaos.edge import CallTraffic, Gateways, RestTraffic, SocketTraffic
from chaos.faults import wait_healthy
from chaos.findings import Findings
from support.actors import User
from support.container_clients import authenticate
from support.waiting import eventually

BEFORE_S = 2.0
AFTER_S = 3.0
REVOKED_AFTER_S = 1.5
REVOKED_WITHIN_S = 10.0
ATTEMPTS = 5
CHANGED_CLIENTS = 10
GONE = 404
# What a node takes with it is not counted later; what Redis refused is repeated after up to 16 s.
COUNTED_WITHIN_S, COUNTED_AFTER_NODE_S = 25.0, 6.0
REVOCATION = "revocation"
USAGE = "usage counts"


async def run_trial(stack, fault, inject, node):
    """The findings of each kind of traffic."""
    await wait_healthy(stack)
    user = await User.sign_up(stack)
    edge, direct = await user.create_organization("Edge"), await user.create_organization("Direct")
    channels = [await edge.create_channel(), await edge.create_channel(), await direct.create_channel()]
    over_rest, calls, reads = Gateways(stack, edge), Gateways(stack, edge), Gateways(stack, direct)
    connections = [
        await connect(stack, direct, await direct.create_client(), first=node)
        for _ in ("stored", "sender", "reader")
    ]
    sockets = SocketTraffic(
        over_rest, await edge.create_client(), await edge.create_client(), channels[0]["channel_id"]
    )
    rest = RestTraffic(over_rest, channels[1]["channel_id"])
    stored = StoredTraffic(connections[0], reads, channels[2]["channel_id"])
    subject = SubjectTraffic(connections[1], connections[2], "numbers")
    called = CallTraffic(calls, [(await edge.create_client()).id for _ in range(CHANGED_CLIENTS)])
    traffic = [sockets, rest, stored, subject, called]
    revocation = await Revocation.prepare(stack, edge, calls, without=node)
    try:
        async with asyncio.TaskGroup() as tasks:
            for each in traffic:
                await each.start(tasks)
            await asyncio.sleep(BEFORE_S)
            revoking = tasks.create_task(revocation.run())
            await inject(stack)
            await wait_healthy(stack)
            await asyncio.sleep(AFTER_S)
            found = [Findings(fault=fault, traffic=each.name, **await each.stop()) for each in traffic]
            found.append(Findings(fault=fault, traffic=REVOCATION, **await revoking))
        accepted = found[0].acknowledged + found[1].acknowledged
        within_s = COUNTED_WITHIN_S if node is None else COUNTED_AFTER_NODE_S
        off = await compare_counts(calls, accepted, sockets.attempts + rest.attempts, within_s)
        found.append(Findings(fault=fault, traffic=f"{USAGE}, gateways", acknowledged=accepted, **off))
        accepted = found[2].acknowledged + len(subject.arrivals.numbers)
        off = await compare_counts(reads, accepted, stored.attempts + subject.attempts, within_s)
        found.append(Findings(fault=fault, traffic=f"{USAGE}, direct", acknowledged=accepted, **off))
    finally:
        for sdk in (*connections, revocation.sdk):
            await sdk.close()
        for each in (over_rest, calls, reads):
            await each.close()
    return found


async def compare_counts(gateways, accepted, attempts, within_s):
    """By how much the count of messages lies above or below what the broker may have accepted.

    An attempt whose answer was lost may have been accepted, or not.
    """
    ends_at = time.monotonic() + within_s
    while True:
        response = await gateways.send("GET", "/usage/metrics")
        counted = 0
        if response is not None and response.is_success:
            counted = response.json()["totals"]["messages"]
        if accepted <= counted <= attempts or time.monotonic() > ends_at:
            return {"overcounted": max(counted - attempts, 0), "uncounted": max(accepted - counted, 0)}
        await asyncio.sleep(0.5)


class Revocation:
    """A client with a WebSocket and a direct connection, which is deleted during the fault."""

    def __init__(self, gateways, client, ws, sdk):
        self._gateways = gateways
        self._client = client
        self._ws = ws
        self.sdk = sdk

    @classmethod
    async def prepare(cls, stack, tenant, gateways, *, without):
        """Its connections are to the last gateway, and to a node that stays."""
        client = await tenant.create_client()
        url = f"ws://127.0.0.1:{stack.gateways[-1]}/ws/client/{client.id}"
        ws = await connect_websocket(url, compression=None)
        await authenticate(ws, client.seed)
        return cls(gateways, client, ws, await connect(stack, tenant, client, without=without))

    async def run(self):
        """How long both lasted after the deletion was answered."""
        await asyncio.sleep(REVOKED_AFTER_S)
        # As a person would: again until it is answered. One that was called uncertain may have been done.
        for _ in range(ATTEMPTS):
            response = await self._gateways.send("DELETE", f"/clients/{self._client.id}")
            if response is not None and (response.is_success or response.status_code == GONE):
                break
        else:
            return {"errors": {"refused": ATTEMPTS}}
        answered_at = time.monotonic()
        try:
            async with asyncio.timeout(REVOKED_WITHIN_S):
                await asyncio.gather(
                    self._ws.wait_closed(),
                    eventually(
                        lambda: self.sdk.state is not State.CONNECTED, within=REVOKED_WITHIN_S, every=0.01
                    ),
                )
        except (TimeoutError, AssertionError):
            return {"acknowledged": 1, "revocation_s": REVOKED_WITHIN_S}
        return {"acknowledged": 1, "revocation_s": time.monotonic() - answered_at}
