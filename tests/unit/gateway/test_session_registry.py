"""The session registry: revocation, timeouts, connection time and shutdown."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.contracts.gateway import CloseConnections, CloseReason
from artcafe_common.contracts.tenancy.events import (
    AgentRevoked,
    ClientRevoked,
    MembershipChanged,
    RevocationReason,
)
from artcafe_common.contracts.tenancy.members import Role
from artcafe_gateway import session_registry as registry_module
from artcafe_gateway.session_registry import SLOTS, SessionRegistry
from artcafe_gateway.wire.socket import CLOSE_RESTART, CLOSE_REVOKED, CLOSE_TIMEOUT, CLOSE_TRY_LATER
from support.fakes.clock import FakeClock
from support.fakes.ids import CLIENT, OTHER_CLIENT, OTHER_TENANT, TENANT
from support.fakes.reporting import FakeUsage
from support.fakes.sockets import FakeSocket
from support.waiting import eventually

TIMEOUT_S, PING_S = 90, 20


class Session:
    busy = False

    def __init__(self, clock, owner=f"client:{CLIENT}", tenant_id=TENANT):
        self.socket = FakeSocket(last_received_at=clock.now)
        self.tenant_id = tenant_id
        self.owner = owner
        self.owner_updated_at = None
        self.recorded_until = clock.now
        # Whether the peer was asked to reconnect when the session left its queue groups.
        self.reconnect_ms_when_left = []

    async def leave_groups(self):
        self.reconnect_ms_when_left.append(self.socket.reconnect_ms)


@pytest.fixture
def clock(clock, monkeypatch):
    monkeypatch.setattr(registry_module, "time", clock)
    return clock


@pytest.fixture
def usage():
    return FakeUsage()


@pytest.fixture
def registry(usage, clock):
    return SessionRegistry(usage=usage, timeout_s=TIMEOUT_S, ping_s=PING_S)


def add(registry, clock, *args, **kwargs):
    session = Session(clock, *args, **kwargs)
    assert registry.add(session, authenticated_at=clock.now)
    return session


def revoked(client_id=CLIENT, tenant_id=TENANT, reason=RevocationReason.DELETED):
    return ClientRevoked(tenant_id=tenant_id, client_id=client_id, nkey_public="U", reason=reason)


# -- the plan's connections ------------------------------------------------------------------------


async def test_connections_over_the_plan_are_closed_by_their_ids(registry, clock):
    ended, kept = add(registry, clock), add(registry, clock)
    foreign = add(registry, clock, tenant_id=OTHER_TENANT)
    for number, session in enumerate((ended, kept, foreign)):
        session.socket.connection_id = f"c{number}"
    ids = ["c0", "c2", "unknown"]
    await registry.on_close_connections(CloseConnections(tenant_id=TENANT, connection_ids=ids))
    assert ended.socket.closed == (CLOSE_TRY_LATER, "plan_limit")
    assert kept.socket.closed is None
    assert foreign.socket.closed is None


async def test_connection_that_an_admin_ends_may_connect_again(registry, clock):
    ended, kept = add(registry, clock), add(registry, clock)
    ended.socket.connection_id, kept.socket.connection_id = "c0", "c1"
    await registry.on_close_connections(
        CloseConnections(tenant_id=TENANT, connection_ids=["c0"], reason=CloseReason.CONNECTION_ENDED)
    )
    assert ended.socket.closed == (CLOSE_RESTART, "connection_ended")
    assert kept.socket.closed is None


# -- revocation ------------------------------------------------------------------------------------


async def test_revocation_closes_all_sessions_of_the_client_only(registry, clock):
    sessions = [add(registry, clock) for _ in range(3)]
    others = [
        add(registry, clock, f"client:{OTHER_CLIENT}"),
        add(registry, clock, f"agent:{CLIENT}"),
        add(registry, clock, f"user:{CLIENT}"),
        add(registry, clock, tenant_id=OTHER_TENANT),
    ]
    await registry.on_client_revoked(revoked())
    assert [session.socket.closed for session in sessions] == [(CLOSE_REVOKED, "deleted")] * 3
    assert [session.socket.closed for session in others] == [None] * 4


async def test_changed_permissions_ask_the_client_to_reconnect(registry, clock):
    session = add(registry, clock)
    await registry.on_client_revoked(revoked(reason=RevocationReason.PERMISSIONS_CHANGED))
    assert session.socket.closed == (CLOSE_RESTART, "permissions_changed")


async def test_agent_revocation_closes_its_sessions(registry, clock):
    session = add(registry, clock, "agent:a")
    event = AgentRevoked(tenant_id=TENANT, agent_id="a", reason=RevocationReason.SUSPENDED)
    await registry.on_agent_revoked(event)
    assert session.socket.closed == (CLOSE_REVOKED, "suspended")


@pytest.mark.parametrize(
    ("role", "closed"), [(None, (CLOSE_REVOKED, "membership_ended")), (Role.VIEWER, None)]
)
async def test_only_an_ended_membership_closes_dashboards(registry, clock, role, closed):
    session = add(registry, clock, "user:u")
    await registry.on_membership_changed(MembershipChanged(tenant_id=TENANT, user_id="u", role=role))
    assert session.socket.closed == closed


async def test_client_revoked_during_its_authentication_is_not_added(registry, clock):
    authenticated_at = clock.now
    clock.advance(0.1)
    await registry.on_client_revoked(revoked())
    assert not registry.add(Session(clock), authenticated_at=authenticated_at)
    assert len(registry) == 0


async def test_client_may_authenticate_after_its_revocation(registry, clock):
    await registry.on_client_revoked(revoked(reason=RevocationReason.PERMISSIONS_CHANGED))
    clock.advance(0.1)
    add(registry, clock)


async def test_revocation_of_another_client_does_not_affect_an_authentication(registry, clock):
    await registry.on_client_revoked(revoked(OTHER_CLIENT))
    await registry.on_client_revoked(revoked(tenant_id=OTHER_TENANT))
    add(registry, clock)


async def test_remembered_revocations_are_bounded(registry, clock, monkeypatch):
    monkeypatch.setattr(registry_module, "MAX_RECENT_REVOCATIONS", 10)
    for number in range(20):
        await registry.on_client_revoked(revoked(f"client {number}"))
    await registry.on_client_revoked(revoked("client 15"))
    assert len(registry._revoked) == 10
    # The latest are remembered.
    for number, accepted in ((5, True), (19, False), (15, False)):
        assert registry.add(Session(clock, f"client:client {number}"), authenticated_at=clock.now) is accepted


# -- timeouts --------------------------------------------------------------------------------------


async def test_each_session_is_checked_once_in_four_ticks(registry, clock):
    sessions = [add(registry, clock) for _ in range(10)]
    for _ in range(SLOTS):
        await registry.tick()
    assert [len(session.socket.pings) for session in sessions] == [1] * 10
    assert sessions[0].socket.pings == [(clock.now, PING_S)]


async def test_silent_client_is_closed(registry, clock):
    silent, active = add(registry, clock), add(registry, clock)
    clock.advance(TIMEOUT_S + 1)
    active.socket.last_received_at = clock.now
    for _ in range(SLOTS):
        await registry.tick()
    assert silent.socket.closed == (CLOSE_TIMEOUT, "heartbeat_timeout")
    assert active.socket.closed is None


async def test_silent_dashboard_is_not_closed(registry, clock):
    dashboard = add(registry, clock, "user:u")
    clock.advance(10 * TIMEOUT_S)
    for _ in range(SLOTS):
        await registry.tick()
    assert dashboard.socket.closed is None


# -- connection time -------------------------------------------------------------------------------


async def test_connection_time_is_recorded_once(registry, clock, usage):
    session = add(registry, clock)
    for _ in range(10):
        clock.advance(1)
        await registry.tick()
    clock.advance(0.5)
    registry.remove(session)
    registry.remove(session)
    assert usage.connection_seconds == {(TENANT, CLIENT): 10.5}
    assert len(registry) == 0


async def test_connection_time_of_users_is_not_billed(registry, clock, usage):
    session = add(registry, clock, "user:u")
    clock.advance(10)
    for _ in range(SLOTS):
        await registry.tick()
    registry.remove(session)
    assert usage.connection_seconds == {}


async def test_agents_are_billed_by_their_id(registry, clock, usage):
    session = add(registry, clock, "agent:a")
    clock.advance(10)
    registry.remove(session)
    assert usage.connection_seconds == {(TENANT, "a"): 10}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("open"), st.integers(0, 3)),
            st.tuples(st.just("close"), st.integers(0, 3)),
            st.tuples(st.just("tick"), st.integers(0, 8)),
        ),
        max_size=40,
    )
)
def test_recorded_time_is_the_lifetime_of_the_sessions(steps):
    async def run():
        clock, usage = FakeClock(), FakeUsage()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registry_module, "time", clock)
            registry = SessionRegistry(usage=usage, timeout_s=TIMEOUT_S, ping_s=PING_S)
            opened, lifetimes = {}, Counter()
            for kind, value in steps:
                if kind == "open" and value not in opened:
                    opened[value] = (add(registry, clock, f"client:{value % 2}"), clock.now)
                elif kind == "close" and value in opened:
                    session, since = opened.pop(value)
                    registry.remove(session)
                    lifetimes[TENANT, str(value % 2)] += clock.now - since
                elif kind == "tick":
                    clock.advance(value / 8)
                    await registry.tick()
            for value, (session, since) in opened.items():
                registry.remove(session)
                lifetimes[TENANT, str(value % 2)] += clock.now - since
            assert len(registry) == 0
        return +usage.connection_seconds, +lifetimes

    recorded, lifetimes = asyncio.run(run())
    assert recorded == lifetimes


# -- shutdown --------------------------------------------------------------------------------------


async def test_drain_closes_every_session_and_waits_for_their_end(registry, clock, monkeypatch):
    monkeypatch.setattr(registry_module, "_SHUTDOWN_POLL_S", 0.001)
    registry.accepting = True
    sessions = [add(registry, clock, f"client:{number}") for number in range(3)]
    drain = asyncio.create_task(registry.drain())
    closed = [(CLOSE_RESTART, "restarting")] * 3
    await eventually(lambda: [session.socket.closed for session in sessions] == closed, every=0.001)
    assert not drain.done()
    assert not registry.accepting
    for session in sessions:
        registry.remove(session)
    await drain


async def test_drain_spreads_the_reconnects_of_many_sessions(registry, clock, monkeypatch):
    monkeypatch.setattr(registry_module, "_SHUTDOWN_POLL_S", 0.0001)
    sessions = [add(registry, clock) for _ in range(3)]
    await registry.drain()
    assert {session.socket.reconnect_ms for session in sessions} == {1_000}
    sessions += [add(registry, clock) for _ in range(1_997)]
    for session in sessions:
        session.socket = FakeSocket()
    await registry.drain()
    assert {session.socket.reconnect_ms for session in sessions} == {4_000}


async def test_drain_leaves_queue_groups_before_it_asks_for_a_reconnect(registry, clock, monkeypatch):
    monkeypatch.setattr(registry_module, "_SHUTDOWN_POLL_S", 0.0001)
    sessions = [add(registry, clock) for _ in range(3)]
    await registry.drain()
    assert [session.reconnect_ms_when_left for session in sessions] == [[None]] * 3


async def test_drain_does_not_wait_for_a_broker_that_does_not_answer(registry, clock, monkeypatch):
    monkeypatch.setattr(registry_module, "_SHUTDOWN_POLL_S", 0.0001)
    monkeypatch.setattr(registry_module, "LEAVE_TIMEOUT_S", 0.001)
    session = add(registry, clock)
    monkeypatch.setattr(session, "leave_groups", asyncio.Event().wait)
    await asyncio.wait_for(registry.drain(), 5)
    assert session.socket.closed == (CLOSE_RESTART, "restarting")


async def test_drain_closes_a_session_after_its_frames_are_answered(registry, clock, monkeypatch):
    monkeypatch.setattr(registry_module, "_SHUTDOWN_POLL_S", 0.001)
    busy, idle = add(registry, clock), add(registry, clock)
    busy.busy = True
    drain = asyncio.create_task(registry.drain())
    await eventually(lambda: idle.socket.closed == (CLOSE_RESTART, "restarting"), every=0.001)
    assert busy.socket.closed is None
    busy.busy = False
    await eventually(lambda: busy.socket.closed == (CLOSE_RESTART, "restarting"), every=0.001)
    for session in (busy, idle):
        registry.remove(session)
    await drain


async def test_drain_does_not_wait_forever_for_an_answer(registry, clock, monkeypatch):
    monkeypatch.setattr(registry_module, "_SHUTDOWN_POLL_S", 0.0001)
    busy = add(registry, clock)
    busy.busy = True
    await asyncio.wait_for(registry.drain(), 5)
    assert busy.socket.closed == (CLOSE_RESTART, "restarting")


async def test_drain_does_not_wait_forever(registry, clock, monkeypatch):
    monkeypatch.setattr(registry_module, "_SHUTDOWN_POLL_S", 0.0001)
    add(registry, clock)
    await asyncio.wait_for(registry.drain(), 5)
