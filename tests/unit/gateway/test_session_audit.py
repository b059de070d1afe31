"""The check of all sessions after the broker could not be reached."""

import asyncio
from datetime import timedelta

import pytest

from artcafe_common.bus.errors import Forbidden, ServiceUnavailable
from artcafe_common.clock import now
from artcafe_common.contracts.tenancy.accounts import AccountStatus, GetAccount
from artcafe_common.contracts.tenancy.agents import AgentNotFound, GetAgent
from artcafe_common.contracts.tenancy.clients import ClientNotFound, GetClient
from artcafe_common.contracts.tenancy.members import ResolveMembership
from artcafe_gateway import session_audit
from artcafe_gateway.session_audit import SessionAudit
from artcafe_gateway.session_registry import SessionRegistry
from artcafe_gateway.wire.socket import CLOSE_RESTART, CLOSE_REVOKED
from support.fakes.ids import AGENT, CLIENT, OTHER_CLIENT, OTHER_TENANT, TENANT
from support.fakes.reporting import FakeUsage
from support.fakes.sockets import FakeSocket
from support.waiting import eventually

LONG_AGO = now() - timedelta(days=1)
USER = "u-1"


class Session:
    busy = False

    def __init__(self, owner, tenant_id=TENANT):
        self.socket = FakeSocket()
        self.tenant_id, self.owner, self.recorded_until = tenant_id, owner, 0.0
        self.owner_updated_at = LONG_AGO

    @property
    def closed(self):
        return self.socket.closed


class Record:
    def __init__(self, updated_at=LONG_AGO, status=AccountStatus.ACTIVE):
        self.updated_at, self.status = updated_at, status


class Store:
    """Answers as tenancy does; `records` by id, of which an exception is raised."""

    def __init__(self):
        self.records = {}
        self.failures = 0

    async def call(self, command, *, caller):
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise ServiceUnavailable("away")
        kinds = {GetClient: "client_id", GetAgent: "agent_id", ResolveMembership: "user_id"}
        key = caller.tenant_id if isinstance(command, GetAccount) else getattr(command, kinds[type(command)])
        record = self.records.get(key, Record())
        if record == "changed now":
            record = Record(now())
        if isinstance(record, Exception):
            raise record
        return record


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def registry():
    return SessionRegistry(usage=FakeUsage(), timeout_s=90, ping_s=20)


@pytest.fixture
async def audit(registry, store):
    audit = SessionAudit(registry, store)
    task = asyncio.create_task(audit.run())
    yield audit
    task.cancel()


@pytest.fixture
def sessions(registry):
    owners = [f"client:{CLIENT}", f"client:{OTHER_CLIENT}", f"agent:{AGENT}", f"user:{USER}"]
    created = [*map(Session, owners), Session(f"client:{CLIENT}", OTHER_TENANT)]
    for session in created:
        assert registry.add(session, authenticated_at=0)
    return created


async def checked(audit):
    audit.begin(now())
    await eventually(lambda: not audit._unchecked)


async def test_sessions_of_unchanged_owners_stay(audit, sessions):
    await checked(audit)
    assert [session.closed for session in sessions] == [None] * len(sessions)


@pytest.mark.parametrize(
    ("owner_id", "record", "position", "expected"),
    [
        (CLIENT, ClientNotFound(), 0, (CLOSE_REVOKED, "deleted")),
        (OTHER_CLIENT, "changed now", 1, (CLOSE_RESTART, "changed")),
        (AGENT, AgentNotFound(), 2, (CLOSE_REVOKED, "deleted")),
        (AGENT, "changed now", 2, (CLOSE_RESTART, "changed")),
        (USER, Forbidden(), 3, (CLOSE_REVOKED, "membership_ended")),
    ],
)
async def test_sessions_of_a_revoked_or_changed_owner_end(
    audit, store, sessions, owner_id, record, position, expected
):
    store.records[owner_id] = record
    await checked(audit)
    ended = {number: session.closed for number, session in enumerate(sessions) if session.closed}
    # The same client id in another tenant does not exist; the store here does not tell them apart.
    ended.pop(4, None)
    assert ended == {position: expected}


async def test_session_that_began_after_the_change_stays(audit, store, sessions):
    changed_at = now()
    store.records[OTHER_CLIENT] = Record(changed_at)
    sessions[1].owner_updated_at = changed_at
    await checked(audit)
    assert [session.closed for session in sessions] == [None] * len(sessions)


async def test_sessions_of_a_suspended_organization_end(audit, store, sessions):
    store.records[OTHER_TENANT] = Record(status=AccountStatus.SUSPENDED)
    await checked(audit)
    assert [session.closed for session in sessions] == [None] * 4 + [(CLOSE_REVOKED, "account_suspended")]


async def test_lookups_are_repeated_until_they_succeed(audit, store, sessions, monkeypatch):
    monkeypatch.setattr(session_audit, "FIRST_PAUSE_S", 0.01)
    store.failures = 3
    store.records[USER] = Forbidden()
    await checked(audit)
    assert sessions[3].closed == (CLOSE_REVOKED, "membership_ended")


async def test_owner_that_is_due_again_while_it_is_checked_is_checked_again(audit, store, sessions):
    audit.begin(now())
    await asyncio.sleep(0)
    audit.begin(now())
    store.records[USER] = Forbidden()
    await eventually(lambda: sessions[3].closed == (CLOSE_REVOKED, "membership_ended"))
