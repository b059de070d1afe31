"""Keys are replaced on a host whose services read copies of them; direct clients, with TLS, notice nothing."""

import asyncio
import json
import ssl
import time
from contextlib import suppress

import nats
import pytest

from artcafe_common.broker.nkeys import KeyPair
from support.container_clients import authenticate, call, receive
from support.ec2_host import UNITS
from support.numbered_publisher import NumberedPublisher
from support.snippets import snippets
from support.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]
COMMANDS = snippets("docs/operate/keys.md")


async def run_documented(host, name):
    """Run a block of commands of the documentation on the host; returns its output."""
    result = await asyncio.to_thread(host.run, f"set -eu\n{COMMANDS[name]}")
    print(result.stdout, result.stderr)
    return result.stdout


async def test_direct_clients_connect_with_tls_alone(host, story):
    """So do the services: what is published over TLS is delivered to WebSockets."""
    alice, bob = story["clients"]
    direct = await host.connect_nats(bob["nkey_seed"])
    async with host.connect_websocket(f"/ws/client/{alice['client']['client_id']}") as ws:
        await authenticate(ws, alice["nkey_seed"])
        await ws.send(json.dumps({"type": "subscribe", "subject": "greetings"}))
        await receive(ws, "subscribed")
        await direct.publish(f"{story['tenant_id']}.greetings", b'"hello"')
        assert (await receive(ws, "message"))["data"] == "hello"
    await direct.close()
    connections = json.loads(host.read("curl -s http://127.0.0.1:8222/connz"))["connections"]
    assert {each["tls_version"] for each in connections} == {"1.3"}
    with pytest.raises(ssl.SSLCertVerificationError):
        await nats.connect(
            f"tls://127.0.0.1:{host.nats_port}",
            nkeys_seed_str=alice["nkey_seed"],
            allow_reconnect=False,
            error_cb=ignore,
        )
    reader, writer = await asyncio.open_connection("127.0.0.1", host.nats_port)
    info = json.loads((await reader.readline()).removeprefix(b"INFO "))
    assert info["tls_required"]
    writer.write(b"CONNECT {}\r\nPING\r\n")
    with suppress(ConnectionError):
        assert b"PONG" not in await asyncio.wait_for(reader.read(), 10)
    writer.close()


async def ignore(_error):
    return None


async def test_keys_are_replaced_under_traffic(host, story):
    alice, bob = story["clients"]
    publisher = NumberedPublisher(host, alice, story["channel_id"])
    running = asyncio.create_task(publisher.run())
    direct = await host.connect_nats(bob["nkey_seed"])
    await eventually(lambda: len(publisher.acknowledged) > 50, within=30)
    before = host.read("sha256sum /etc/artcafe/keys/*.key /etc/artcafe/keys/*.creds")
    async with host.sign_in(story["tenant_id"]) as http:
        page = await call(http, "GET", "/clients", 200, params={"limit": 1})
        await run_documented(host, "systemd-cursors.sh")
        await host.wait_until_healthy()
        await run_documented(host, "systemd-service.sh")
        await host.wait_until_healthy()
        await call(http, "GET", "/clients", 200, params={"limit": 1, "cursor": page["next_cursor"]})
    after = host.read("sha256sum /etc/artcafe/keys/*.key /etc/artcafe/keys/*.creds")
    changed = {line.split()[1].rpartition("/")[2] for line in {*after.splitlines()} - {*before.splitlines()}}
    assert changed == {"cursor.key", "tenancy.creds"}

    reserve = KeyPair(host.read("cat /etc/artcafe/keys/operator-reserve.nk")).public
    assert "signed" in await run_documented(host, "systemd-operator.sh")
    await host.wait_until_healthy()
    assert direct.is_connected
    assert direct.stats["reconnects"] == 0
    await direct.close()
    await run_documented(host, "systemd-finish-operator.sh")
    await host.wait_until_healthy()
    trusted = json.loads(host.read("curl -s http://127.0.0.1:8222/varz"))["trusted_operators_claim"]
    assert [claim["iss"] for claim in trusted] == [reserve]
    async with host.sign_in() as http:
        await call(http, "POST", "/accounts", 201, json={"name": "After the rotation"})

    count = len(publisher.acknowledged)
    await eventually(lambda: len(publisher.acknowledged) > count + 50, within=60)
    publisher.stop()
    await asyncio.wait_for(running, 30)
    found = await publisher.read_back()
    assert {
        number: seq for number, seq in found if number in publisher.acknowledged
    } == publisher.acknowledged
    assert [number for number, _ in found] == list(range(len(found)))
    assert host.states() == ["active"] * len(UNITS)


async def test_release_that_needs_other_permissions_renews_the_credentials(host):
    """As after a release with other permissions; nats-server is restarted once, and the services after it."""
    started = host.read("systemctl show -P ActiveEnterTimestampMonotonic nats-server.service")
    host.run("echo of-another-release > /etc/artcafe/keys/renewed-for")
    await asyncio.sleep(1.1 - time.time() % 1)
    released = await asyncio.to_thread(
        host.run, f"/opt/artcafe/artcafe-pubsub/deploy/ec2/release.sh {host.revision}"
    )
    assert "/etc/artcafe/keys has what this release needs" in released.stdout
    await host.wait_until_healthy()
    assert host.read("systemctl show -P ActiveEnterTimestampMonotonic nats-server.service") != started
    assert "nothing to change" in host.install()
