"""Keys are replaced while messages flow: no client notices."""

import asyncio
import contextlib
import json
import time

import nats.errors
import pytest
from nats.aio.client import RawCredentials

from artcafe_common.broker.claims import (
    AccountClaims,
    AccountLimits,
    Credentials,
    UserClaims,
    encode,
    issuer_of,
)
from artcafe_common.broker.connect import connect_once
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.cli.account_updates import push_accounts
from artcafe_common.cli.key_commands import PICKED_UP_S
from artcafe_common.settings import StoreSettings, load
from support.actors import User
from support.agents import LegacyAgent
from support.backups import BackupTerminal
from support.health import wait_until_healthy
from support.history import read_history
from support.waiting import eventually

PAGE = "docs/operate/keys.md"


@pytest.fixture(scope="module")
async def rotated_stack(new_stack):
    """A stack whose keys are replaced."""
    async with new_stack() as stack:
        yield stack


@pytest.fixture
async def org(rotated_stack):
    return await (await User.sign_up(rotated_stack)).create_organization()


@pytest.fixture
def terminal(rotated_stack, tmp_path):
    return BackupTerminal(rotated_stack, tmp_path / "operator")


@contextlib.asynccontextmanager
async def traffic(org, channel):
    """A WebSocket client publishes to a channel, another one and a direct one receive everything, once and in order."""
    sender, receiver = [await (await org.create_client()).connect_websocket() for _ in range(2)]
    direct = await (await org.create_client()).connect_nats()
    received = await direct.subscribe(f"tenant.{org.id}.channel.{channel['channel_id']}")
    await direct.flush()
    await receiver.subscribe(channel=channel["channel_id"])
    sent = 0

    async def publish():
        nonlocal sent
        while True:
            await sender.send(type="publish", channel=channel["channel_id"], data=sent)
            sent += 1
            await asyncio.sleep(0.02)

    task = asyncio.create_task(publish())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await eventually(lambda: len(receiver.pending("message")) >= sent)
    frames = receiver.pending("message")
    assert [frame["data"] for frame in frames] == list(range(len(frames)))
    assert {frame["from"] for frame in frames} == {sender.welcome["client_id"]}
    await eventually(lambda: received.pending_msgs >= len(frames))
    assert sender.closed is None
    assert receiver.closed is None
    assert direct.is_connected
    assert direct.stats["reconnects"] == 0


async def test_keys_are_replaced_under_traffic(rotated_stack, org, terminal):
    channel = await org.create_channel()
    agent = await LegacyAgent.register(org)
    token = await agent.request_token()
    body, key = {"name": "once"}, {"Idempotency-Key": "rotated"}
    created = await org.http.post("/channels", json=body, headers=key)
    for _ in range(3):
        await org.create_channel()

    async def has_all():
        return len((await org.call("GET", "/channels", 200))["channels"]) == 5

    await eventually(has_all)
    cursor = (await org.call("GET", "/channels", 200, params={"limit": 2}))["next_cursor"]
    following = (await org.call("GET", "/channels", 200, params={"limit": 2, "cursor": cursor}))["channels"]

    async with traffic(org, channel):
        environ = {"START_IN": str(PICKED_UP_S)}
        await terminal.run_documented("rotate-secrets.sh", page=PAGE, **environ)
        await asyncio.sleep(PICKED_UP_S + 1)
        # What was made with the old keys is valid, and what is made now too.
        again = await org.http.post("/channels", json=body, headers=key)
        assert (again.status_code, again.json()) == (created.status_code, created.json())
        page = await org.call("GET", "/channels", 200, params={"limit": 2, "cursor": cursor})
        assert page["channels"] == following
        await org.call("GET", "/channels", 200, params={"limit": 2, "cursor": page["next_cursor"]})
        socket = await agent.connect_websocket(headers={"Authorization": f"Bearer {token}"})
        await socket.close()
        assert await agent.request_token() != token

    # Messages of both keys have their verified sender in the history.
    history = (await read_history(org, channel, limit=200))["messages"]
    assert all(message.get("from") for message in history)
    keys = rotated_stack.directory / "keys"
    assert len((keys / "cursor.key").read_text().splitlines()) == 2
    assert "is used from" not in await terminal.fail("keys", "rotate", "nothing", code=2)


async def test_sealing_key_is_replaced_under_traffic_also_after_an_interruption(rotated_stack, org, terminal):
    channel = await org.create_channel()
    key = rotated_stack.directory / "keys/sealing.key"
    before = key.read_text()
    async with traffic(org, channel):
        interrupted = await terminal.start("keys", "rotate", "sealing", "--start-in", PICKED_UP_S)
        await eventually(lambda: len(key.read_text().splitlines()) == 2)
        interrupted.process.kill()
        await interrupted.process.wait()
        assert "interrupted" in await terminal.run_documented("rotate-sealing.sh", page=PAGE)
        after = key.read_text()
        assert len(after.splitlines()) == 1
        assert before.split()[0] not in after
        # A bridge needs the stored seeds; a restarted identity has only the new key.
        await rotated_stack.supervisor.stop("identity")
        rotated_stack.start("identity")
        await wait_until_healthy(org)
        other = await org.create_client()
        await eventually(lambda: _can_connect(other))


async def test_credentials_of_every_service_are_replaced_under_traffic(rotated_stack, org, terminal):
    """No socket and no direct connection ends, every REST call succeeds, and the old credentials are refused."""
    channel = await org.create_channel()
    keys, url = rotated_stack.directory / "keys", rotated_stack.environ()["NATS_URL"]
    services = ("gateway", "tenancy", "identity", "presence", "metering")
    before = {path.name: path.read_text() for path in keys.glob("*.creds")}
    failed = []

    async def call():
        while True:
            response = await org.http.get("/channels")
            if response.status_code != 200:
                failed.append(response.text)
            await asyncio.sleep(0.05)

    calls = asyncio.create_task(call())
    async with traffic(org, channel):
        for name in services:
            environ = {"SERVICE": name, "OVERLAP": str(PICKED_UP_S)}
            out = await terminal.run_documented("rotate-service.sh", page=PAGE, **environ)
            assert f"revoked the old credentials of {name}" in out
    calls.cancel()
    await asyncio.gather(calls, return_exceptions=True)
    assert failed == []
    await rotated_stack.wait_ready()
    replaced = {name for name, text in before.items() if (keys / name).read_text() != text}
    assert replaced >= {f"{name}.creds" for name in services} | {"identity-callout.creds"}
    assert not (keys / "rotation.json").exists()
    for name in replaced:
        with pytest.raises((nats.errors.Error, TimeoutError)):
            await connect_once(url, user_credentials=RawCredentials(before[name]), error_cb=ignore)
    # Clients log in, and so they do after a restart of the broker.
    assert await _can_connect(await org.create_client())
    await rotated_stack.supervisor.stop("nats")
    rotated_stack.start("nats")
    client = await eventually(lambda: _created(org))
    await eventually(lambda: _can_connect(client))
    with pytest.raises((nats.errors.Error, TimeoutError)):
        await connect_once(url, user_credentials=RawCredentials(before["gateway.creds"]), error_cb=ignore)


async def test_operator_key_is_replaced_under_traffic_also_after_an_interruption(
    rotated_stack, org, terminal
):
    """No client notices, new organizations can be created, and after a restart only the new key counts."""
    channel = await org.create_channel()
    keys = rotated_stack.directory / "keys"
    before = KeyPair((keys / "operator.nk").read_text())
    reserve = KeyPair((keys / "operator-reserve.nk").read_text())
    other = await org.create_client()
    async with traffic(org, channel):
        interrupted = await terminal.start("keys", "rotate", "operator")
        await eventually(lambda: KeyPair((keys / "operator.nk").read_text()).public == reserve.public)
        interrupted.process.kill()
        await interrupted.process.wait()
        assert "the rotation that is in progress" in await terminal.run_documented(
            "rotate-operator.sh", page=PAGE
        )
        assert await _can_connect(other)
        # nats-server, which was not restarted, trusts the new key.
        new_org = await (await User.sign_up(rotated_stack)).create_organization()
        assert await _can_connect(await new_org.create_client())
        await terminal.run_documented("finish-operator.sh", page=PAGE)
    for jwt in await _account_jwts(rotated_stack):
        assert issuer_of(jwt) == reserve.public
    # A further rotation needs the restart that makes the next reserve known.
    assert "restart" in await terminal.fail("keys", "rotate", "operator")

    await rotated_stack.supervisor.stop("nats")
    rotated_stack.start("nats")
    await wait_until_healthy(org)
    assert await eventually(lambda: _can_connect(other))
    new_org = await (await User.sign_up(rotated_stack)).create_organization()
    assert await _can_connect(await new_org.create_client())
    # An account that the old key signs has no clients; one of the new key has.
    assert not await _accepts_account_of(rotated_stack, before)
    assert await _accepts_account_of(rotated_stack, reserve)
    assert "signed" in await terminal.run_documented("rotate-operator.sh", page=PAGE)


async def _account_jwts(stack):
    """The JWTs of all accounts that the broker stores."""
    keys = stack.directory / "keys"
    stored = [path.read_text() for path in (stack.directory / "data/nats/accounts").glob("**/*.jwt")]
    assert len(stored) > 6
    preloaded = json.loads((keys / "accounts.json").read_text())["preload"].values()
    return [*stored, *preloaded]


async def _accepts_account_of(stack, operator):
    """Whether users of a new account log in that this key of the operator signed."""
    url, now = stack.environ()["NATS_URL"], int(time.time())
    account, user = create_key_pair(KeyKind.ACCOUNT), create_key_pair(KeyKind.USER)
    jwt = encode(
        AccountClaims(limits=AccountLimits()),
        issuer=operator,
        subject=account.public,
        name="x",
        issued_at=now,
    )
    await push_accounts(load(StoreSettings, stack.environ()), [jwt])
    jwt = encode(UserClaims(), issuer=account, subject=user.public, name="x", issued_at=now)
    credentials = Credentials(jwt=jwt, seed=user.seed).render()
    try:
        nc = await connect_once(url, user_credentials=RawCredentials(credentials), error_cb=ignore)
    except (nats.errors.Error, TimeoutError):
        return False
    await nc.close()
    return True


async def ignore(_error):
    return None


async def _created(org):
    with contextlib.suppress(AssertionError):
        return await org.create_client()


async def _can_connect(client):
    with contextlib.suppress(Exception):
        nc = await client.connect_nats()
        await nc.flush()
        return True
