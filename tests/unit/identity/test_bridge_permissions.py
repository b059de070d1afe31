"""What the broker lets a gateway's bridge publish in a tenant's account, whatever reply subjects it receives."""

import pytest

from artcafe_identity.tenant_claims import bridge_user_claims
from support.harness.broker_accounts import BrokerAccounts

NAMES = (
    "{tid}.orders",
    "tenant.{tid}.orders",
    "tenant.{tid}.channel.x",
    "agents.{tid}.x",
    "channels.{tid}.x",
)
REPLY_SUBJECTS = (
    "_INBOX.x.1",
    "_INBOX_me.1",
    "_GW.x.1",
    "agents.inbox.1",
    "{tid}.inbox.1",
)
PLATFORM_SUBJECTS = (
    "{tid}.presence.x",
    "tenant.{tid}.presence.x",
    "_heartbeat.{tid}.x",
    "_HEARTBEAT.tenant.{tid}.client.x",
    "_PRESENCE.tenant.{tid}.client.x",
    "_METRICS.tenant.{tid}.client.x",
    "_ACK.x.1",
    "_REPUBLISH.x",
    "artcafe.x",
    "ps.x",
    "gw.x",
    "$JS.API.INFO",
    "$JS.API.STREAM.PURGE.CHANNELS",
    "$JS.PLATFORM.API.STREAM.INFO.CHANNELS",
    "$SRV.PING",
    "$SYS.REQ.USER.INFO",
    "$KV.x.y",
    "$O.x.y",
)
# No request of a client arrives with these as its reply subject.
BROKER_SUBJECTS = ("$JS.ACK.x", "_R_.x")


class Account:
    """A tenant's account with a bridge, and a client that hears everything and records by subject."""

    def __init__(self, account, bridge, client, received, refused):
        self.tenant_id = account.tenant_id
        self.bridge = bridge
        self.client = client
        self.received = received
        self.refused = refused

    async def publish(self, subject):
        await self.bridge.publish(subject, b"1")
        await self.bridge.flush()
        await self.client.flush()


@pytest.fixture(scope="module")
async def accounts(new_stack):
    async with new_stack(servers=("nats",)) as stack:
        accounts = BrokerAccounts(f"nats://127.0.0.1:{stack.ports.nats}", stack.directory / "keys")
        await accounts.open()
        yield accounts
        await accounts.close()


@pytest.fixture
async def account(accounts):
    account = await accounts.create()
    received, refused = [], []

    async def record(message):
        received.append(message.subject)

    async def record_error(error):
        refused.append(str(error))

    client = await accounts.connect_user(account, account.platform_key)
    await client.subscribe(">", cb=record)
    bridge = await accounts.connect_user(
        account,
        account.platform_key,
        user_claims=bridge_user_claims(tenant_id=account.tenant_id, account=account.public),
        error_cb=record_error,
    )
    await client.flush()
    yield Account(account, bridge, client, received, refused)
    await bridge.close()
    await client.close()


async def test_bridge_publishes_names_of_the_tenant_and_replies(account):
    subjects = [subject.format(tid=account.tenant_id) for subject in (*NAMES, *REPLY_SUBJECTS)]
    for subject in subjects:
        await account.publish(subject)
    assert account.received == subjects
    assert account.refused == []


@pytest.mark.parametrize("subject", PLATFORM_SUBJECTS)
async def test_request_gives_a_bridge_no_right_on_a_subject_of_the_platform(account, subject):
    subject = subject.format(tid=account.tenant_id)
    requests = await account.bridge.subscribe(f"{account.tenant_id}.ask")
    await account.bridge.flush()
    # A permission to respond would take precedence over the deny list.
    await account.client.publish(f"{account.tenant_id}.ask", b"1", reply=subject)
    assert (await requests.next_msg(timeout=2)).reply == subject
    await account.publish(subject)
    assert account.received == [f"{account.tenant_id}.ask"]
    assert [subject.lower() in error for error in account.refused] == [True]


@pytest.mark.parametrize("subject", BROKER_SUBJECTS)
async def test_bridge_does_not_publish_on_a_subject_of_the_broker(account, subject):
    await account.publish(subject)
    assert account.received == []
    assert [subject.lower() in error for error in account.refused] == [True]
