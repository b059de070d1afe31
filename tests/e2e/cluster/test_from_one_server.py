"""An installation with one nats-server becomes a cluster of three, as docs/operate/cluster.md says, and keeps everything."""

import httpx
import pytest
from nats.aio.client import RawCredentials

from artcafe_common.broker.connect import connect_once
from artcafe_common.bus.client import inbox_prefix
from artcafe_common.dev.stack import SERVICES
from support.actors import User
from support.backups import BackupTerminal
from support.cluster_stack import NODES
from support.growing_stack import GrowingStack
from support.health import wait_until_healthy
from support.history import create_subject, publish, read_history
from support.stack import running_stack
from support.waiting import eventually

MANAGE = {"publish": [">"], "subscribe": [">"], "streams": "manage"}


@pytest.fixture
async def growing(tmp_path):
    async with running_stack(tmp_path / "stack", kind=GrowingStack) as stack:
        yield stack


@pytest.mark.timeout(300)
async def test_one_server_becomes_a_cluster(growing, tmp_path):
    org = await (await User.sign_up(growing)).create_organization()
    channel, subject = await org.create_channel(), await create_subject(org)
    stored = await publish(org, channel, *({"data": number} for number in range(10)))
    client = await org.create_client(permissions=MANAGE)
    js = (await client.connect_nats()).jetstream()
    await js.add_stream(name="MINE", subjects=[f"{org.id}.mine.>"])
    for number in range(5):
        await js.publish(f"{org.id}.mine.x", str(number).encode())
    history = (await read_history(org, channel))["messages"]

    # 1 to 3: only identity runs while the streams are saved.
    await growing.stop_services(*(name for name in SERVICES if name != "identity"))
    terminal = BackupTerminal(growing, tmp_path / "operator")
    await terminal.back_up("streams")
    await growing.stop_services("identity")
    await growing.supervisor.stop("nats")
    # 4: the cluster starts empty.
    growing.configure_cluster()
    for name in NODES:
        growing.start(name)
    # 5: identity and the streams, then the others.
    growing.start("identity")
    terminal.environ.update(growing.environ())
    out = await eventually(lambda: restored(terminal), within=60)
    assert f"restored {org.id}/CHANNELS" in out
    for name in SERVICES:
        if name != "identity":
            growing.start(name)
    await wait_until_healthy(org)

    assert (await read_history(org, channel))["messages"] == history
    (new,) = await publish(org, channel, {"data": "new"})
    assert new["seq"] == stored[-1]["seq"] + 1
    options = {"servers": list(growing.node_urls.values()), "tls": growing.create_tls()}
    js = (await client.connect_nats(**options)).jetstream()
    assert (await js.stream_info("MINE")).state.messages == 5

    wanted = {"CHANNELS", subject["stream"], "MINE", "EVENTS"}
    await eventually(lambda: have_replicas(growing, wanted, 3), within=90)

    # A number that an operator sets by hand stays, and is reported.
    assert "replicas instead of" not in (await terminal.run("doctor", "--json")).out
    await set_replicas(growing, "EVENTS", 1)
    # It compares when it starts.
    await growing.stop_services("identity")
    growing.start("identity")
    await wait_until_healthy(org)
    await eventually(lambda: reports(terminal, "EVENTS has 1 replicas instead of 3"), within=30)
    assert await have_replicas(growing, wanted - {"EVENTS"}, 3)
    assert await have_replicas(growing, {"EVENTS"}, 1)


async def restored(terminal):
    result = await terminal.run("restore", "latest", "--only", "streams")
    return result.out if result.code == 0 else None


async def reports(terminal, text):
    return text in (await terminal.run("doctor", "--json")).out


async def set_replicas(growing, stream, number):
    """As an operator does by hand."""
    credentials = (growing.directory / "keys/identity.creds").read_text()
    nc = await connect_once(
        list(growing.node_urls.values()),
        ca_file=growing.ca_file,
        user_credentials=RawCredentials(credentials),
        inbox_prefix=inbox_prefix("identity"),
    )
    js = nc.jetstream()
    config = (await js.stream_info(stream)).config
    config.num_replicas = number
    await js.update_stream(config)
    await nc.close()


async def have_replicas(growing, wanted, number):
    """Whether these streams exist with this number of replicas."""
    found = {}
    async with httpx.AsyncClient(timeout=3) as http:
        for config in growing.nats_servers():
            url = f"http://127.0.0.1:{config.monitor_port}/jsz?accounts=1&streams=1&config=1"
            for account in (await http.get(url)).json().get("account_details", []):
                for stream in account.get("stream_detail", []):
                    found[stream["name"]] = stream["config"]["num_replicas"]
    return wanted <= found.keys() and {found[name] for name in wanted} == {number}
