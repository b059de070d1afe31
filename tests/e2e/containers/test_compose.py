"""`docker compose up --build -d --wait` on a fresh clone, and the quickstart through nginx with TLS.

The tests run in order, on one system.
"""

import asyncio
import json
from pathlib import Path

import httpx
import nats
import pyrage
import pytest

from artcafe_common.installation.user_pool import DEMO_PASSWORD, DEMO_USER
from support.compose import SERVICES, UP_WITHIN_S, free_port, running_system
from support.container_clients import authenticate, call, receive
from support.docker import has_image
from support.waiting import eventually

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(UP_WITHIN_S + 300),
    # nats-py 2.16 passes a deprecated form of timeout to aiohttp.
    pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning"),
]
PROMETHEUS = "prom/prometheus:v3.5.0"
DRAIN_S = 10


@pytest.fixture(scope="module")
async def compose(tmp_path_factory):
    """The running system."""
    async with running_system(tmp_path_factory) as system:
        yield system


@pytest.fixture(scope="module")
async def story(compose):
    """What the test of the story created, for the tests after it."""
    return {}


async def log_in(compose, host="api.localhost"):
    async with compose.http(host) as http:
        response = await http.post("/auth/login", json={"email": DEMO_USER, "password": DEMO_PASSWORD})
        assert response.status_code == 200, response.text
        return response.json()["access_token"]


async def test_story_of_the_quickstart_through_nginx(compose, story):
    token = await log_in(compose)
    async with compose.http("api.localhost", token) as http:
        account = await call(http, "POST", "/accounts", 201, json={"name": "Containers"})
        story["tenant_id"] = tenant_id = account["account_id"]
        http.headers["X-Tenant-Id"] = tenant_id
        alice = await call(http, "POST", "/clients", 201, json={"name": "alice"})
        bob = await call(http, "POST", "/clients", 201, json={"name": "bob"})
        channel = await call(http, "POST", "/channels", 201, json={"name": "announcements"})
        story["channel_id"], subject = channel["channel_id"], channel["subject"]
        connection = alice["connection"]
        assert connection["nats_url"] == f"tls://localhost:{compose.nats_port}"
        assert connection["nats_ws_url"] == f"wss://localhost:{compose.https_port}/nats"
        assert connection["websocket_url"].startswith(f"wss://localhost:{compose.https_port}/ws/client/")

        # Bob over NATS, with TLS, and in a WebSocket through nginx; Alice over WebSocket.
        received = asyncio.Queue()
        direct = await nats.connect(
            connection["nats_url"], nkeys_seed_str=bob["nkey_seed"], tls=compose.tls()
        )
        browser = await nats.connect(
            connection["nats_ws_url"], nkeys_seed_str=bob["nkey_seed"], tls=compose.tls()
        )
        for nc in (direct, browser):
            await nc.subscribe(subject, cb=received.put)
            await nc.flush()
        client_id = alice["client"]["client_id"]
        async with compose.connect_websocket("ws.localhost", f"/ws/client/{client_id}") as ws:
            assert (await authenticate(ws, alice["nkey_seed"]))["client_id"] == client_id
            await ws.send(json.dumps({"type": "subscribe", "channel": channel["channel_id"]}))
            await receive(ws, "subscribed")
            publish = {"type": "publish", "channel": channel["channel_id"], "data": {"n": 1}, "id": "first"}
            await ws.send(json.dumps(publish))
            assert (await receive(ws, "message"))["data"] == {"n": 1}
            for _ in range(2):
                message = await asyncio.wait_for(received.get(), 5)
                assert json.loads(message.data) == {"n": 1}
                assert message.headers["Artcafe-From"] == client_id
            await direct.publish(subject, b'{"n": 2}')
            assert (await receive(ws, "message"))["data"] == {"n": 2}

            # The console, and its socket, whose page may connect to its own host alone.
            page = await http.get(f"https://127.0.0.1:{compose.https_port}/console")
            assert page.status_code == 200, page.text
            assert "default-src 'none'" in page.headers["content-security-policy"]
            console_path = f"/api/v1/ws/client/{client_id}"
            async with compose.connect_websocket("api.localhost", console_path) as console:
                await receive(console, "challenge")

            # Presence.
            for client in (alice, bob):
                status = await call(http, "GET", f"/clients/{client['client']['client_id']}/status", 200)
                assert status["status"] == "online"
            for nc in (direct, browser):
                await nc.close()

        async def is_offline():
            status = await call(http, "GET", f"/clients/{bob['client']['client_id']}/status", 200)
            return status["status"] == "offline"

        await eventually(is_offline, within=10)

        # History.
        path = f"/channels/{channel['channel_id']}/messages"
        await call(http, "POST", path, 202, json={"data": {"n": 3}})
        story["history"] = (await call(http, "GET", path, 200))["messages"]
        assert sorted(message["data"]["n"] for message in story["history"]) == [1, 2, 3]

        # Usage.
        async def messages():
            stats = await call(http, "GET", "/usage/local/stats", 200)
            return stats["today"]["messages"] if stats["today"]["messages"] == 3 else None

        story["messages"] = await eventually(messages, within=15)


async def test_localhost_serves_both_and_others_nothing(compose, story):
    token = await log_in(compose, "localhost")
    async with compose.http("localhost", token) as http:
        http.headers["X-Tenant-Id"] = story["tenant_id"]
        carol = await call(http, "POST", "/clients", 201, json={"name": "carol"})
        # What only operators see.
        for path in ("/metrics", "/api/v1/metrics"):
            response = await http.get(f"https://127.0.0.1:{compose.https_port}{path}")
            assert response.status_code == 404
    client_id = carol["client"]["client_id"]
    async with compose.connect_websocket("localhost", f"/ws/client/{client_id}") as ws:
        await authenticate(ws, carol["nkey_seed"])
    with pytest.raises(httpx.ConnectError):
        async with compose.http("example.org") as http:
            await http.get("/health")


def test_containers_run_with_the_least_rights(compose):
    for service in (*SERVICES, "nats", "valkey", "moto", "nginx"):
        (container,) = compose.inspect(service)
        host = container["HostConfig"]
        assert container["Config"]["User"] == "10001:10001", service
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["Memory"] > 0, service
        assert container["Config"]["StopTimeout"] > DRAIN_S, service
        for bindings in (host["PortBindings"] or {}).values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}, service
    for tool in ("gcc", "make", "uv", "pip"):
        assert compose.execute("gateway", "sh", "-c", f"command -v {tool}", check=False).returncode != 0
    assert compose.execute("gateway", "sh", "-c", "echo > /opt/artcafe/x", check=False).returncode != 0


def test_each_service_has_its_own_keys_only(compose):
    listed = {
        service: set(compose.execute(service, "ls", "/run/artcafe/keys").stdout.split())
        for service in SERVICES
    }
    assert listed["gateway"] == {"gateway.creds", "answers.key", "cursor.key", "trusted.pem"}
    assert listed["tenancy"] == {"tenancy.creds", "cursor.key", "trusted.pem"}
    holders = [service for service, files in listed.items() if "operator.nk" in files]
    assert holders == ["identity"]
    modes = compose.execute("identity", "sh", "-c", "stat -c '%a %u' /run/artcafe/keys /run/artcafe/keys/*")
    assert set(modes.stdout.split("\n")) == {"700 10001", "600 10001", ""}


async def test_health_check_asks_the_service_and_its_stores(compose):
    check = ("python", "-m", "artcafe_common.health_check")
    for service in SERVICES:
        assert compose.execute(service, *check).returncode == 0
    compose.run("stop", "valkey")
    try:

        async def is_unhealthy():
            result = await asyncio.to_thread(compose.execute, "presence", *check, check=False)
            return result.returncode != 0 and '"redis":"ok"' not in result.stdout

        await eventually(is_unhealthy, within=20)
        assert compose.execute("tenancy", *check).returncode == 0
    finally:
        await compose.up("valkey")


async def test_services_are_scaled(compose, story):
    await compose.up("--no-recreate", "--scale", "gateway=2", "--scale", "tenancy=2")
    assert len(compose.inspect("gateway")) == len(compose.inspect("tenancy")) == 2

    async def both_are_known():
        text = await asyncio.to_thread(compose.execute, "nginx", "cat", "/tmp/nginx.conf")
        return text.stdout.count(":8000 max_fails") == 2

    await eventually(both_are_known, within=20)
    token = await log_in(compose)
    async with compose.http("api.localhost", token) as http:
        http.headers["X-Tenant-Id"] = story["tenant_id"]
        for _ in range(20):
            await call(http, "GET", "/clients", 200)
        # Without one of each, which nginx and callers notice.
        await compose.up("--no-recreate", "--scale", "gateway=1", "--scale", "tenancy=1")

        async def answers():
            responses = [await http.get("/clients") for _ in range(5)]
            return all(response.status_code == 200 for response in responses)

        await eventually(answers, within=20)


def test_production_leaves_the_emulated_aws_out(compose):
    arguments = ("--env-file", "deploy/compose/production.env")
    names = compose.run(*arguments, "config", "--services").stdout.split()
    assert {*SERVICES, "nats", "valkey", "nginx", "setup"} == set(names)
    assert "moto" not in compose.run(*arguments, "config").stdout


def test_overlay_adds_prometheus_and_grafana(compose):
    files = ("-f", "compose.yaml", "-f", "compose.observability.yaml")
    assert "ARTCAFE_GRAFANA_PASSWORD" in compose.run(*files, "config", "-q", check=False).stderr
    compose.environ["ARTCAFE_GRAFANA_PASSWORD"] = "of a test"
    try:
        configuration = json.loads(compose.run(*files, "config", "--format", "json").stdout)
    finally:
        del compose.environ["ARTCAFE_GRAFANA_PASSWORD"]
    assert {"prometheus", "grafana"} <= configuration["services"].keys()
    mounted = [
        volume["source"]
        for name in ("prometheus", "grafana")
        for volume in configuration["services"][name]["volumes"]
        if volume["type"] == "bind"
    ]
    assert len(mounted) == 4
    assert all(Path(source).exists() for source in mounted)


async def test_prometheus_scrapes_every_service(compose):
    if not has_image(PROMETHEUS):
        pytest.skip(f"needs the image {PROMETHEUS}")
    files = ("-f", "compose.yaml", "-f", "compose.observability.yaml")
    port = free_port()
    compose.environ |= {"ARTCAFE_GRAFANA_PASSWORD": "of a test", "ARTCAFE_PROMETHEUS_PORT": str(port)}
    try:
        arguments = (*files, "up", "-d", "--no-deps", "--wait", "prometheus")
        await asyncio.to_thread(compose.run, *arguments, timeout=120)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1") as http:

            async def all_up():
                targets = (await http.get("/targets")).json()["data"]["activeTargets"]
                up = {each["labels"]["job"] for each in targets if each["health"] == "up"}
                return up == {f"artcafe-{service}" for service in SERVICES}

            await eventually(all_up, within=60)
            groups = (await http.get("/rules")).json()["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert rules
            assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
        await asyncio.to_thread(compose.run, *files, "rm", "--force", "--stop", "prometheus")
    finally:
        for name in ("ARTCAFE_GRAFANA_PASSWORD", "ARTCAFE_PROMETHEUS_PORT"):
            del compose.environ[name]


async def test_repeated_start_restarts_nothing(compose):
    def started():
        return {name: compose.inspect(name)[0]["State"]["StartedAt"] for name in (*SERVICES, "nats", "nginx")}

    before = await asyncio.to_thread(started)
    await compose.up()
    assert await asyncio.to_thread(started) == before


async def test_doctor_runs_in_a_container(compose):
    result = await asyncio.to_thread(compose.run, "run", "--rm", "-T", "artcafe", "doctor", check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"ok"}, result.stdout


async def test_keys_are_replaced_while_the_services_run(compose, story):
    """As docs/operate/keys.md says: services read what `setup` gives them, and cursors of before stay valid."""
    started = compose.inspect("tenancy")[0]["State"]["StartedAt"]
    all_keys = ("-e", "ARTCAFE_KEYS_DIR=/run/artcafe/all", "-v", f"{compose.project}_keys:/run/artcafe/all")
    token = await log_in(compose)
    async with compose.http("api.localhost", token) as http:
        http.headers["X-Tenant-Id"] = story["tenant_id"]
        page = await call(http, "GET", "/clients", 200, params={"limit": 1})
        command = ("run", "--rm", "-T", *all_keys, "artcafe", "keys", "rotate", "cursors", "--start-in", "5")
        assert "has a new key" in (await asyncio.to_thread(compose.run, *command)).stdout
        await asyncio.to_thread(compose.run, "run", "--rm", "-T", "setup")
        for service in ("gateway", "tenancy"):
            keys = compose.execute(service, "cat", "/run/artcafe/keys/cursor.key").stdout
            assert len(keys.splitlines()) == 2
        await asyncio.sleep(5)
        await call(http, "GET", "/clients", 200, params={"limit": 1, "cursor": page["next_cursor"]})
    assert compose.inspect("tenancy")[0]["State"]["StartedAt"] == started


async def test_backups_are_made_each_hour_with_the_profile(compose):
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    compose.environ["ARTCAFE_BACKUP_RECIPIENT"] = recipient
    try:
        await asyncio.to_thread(compose.run, "--profile", "backup", "up", "-d", "--no-deps", "backup")

        async def made():
            log = await asyncio.to_thread(compose.run, "--profile", "backup", "logs", "backup")
            return "backed up redis, keys, streams" in log.stdout

        await eventually(made, within=60)
        checked = compose.execute("backup", "artcafe", "restore", "latest", "--check")
        assert "is complete and sound" in checked.stdout
        stopped = await asyncio.to_thread(
            compose.run, "--profile", "backup", "stop", "--timeout", "15", "backup"
        )
        assert stopped.returncode == 0
        (container,) = compose.inspect("backup")
        # It did not have to be killed.
        assert container["State"]["ExitCode"] != 137
    finally:
        del compose.environ["ARTCAFE_BACKUP_RECIPIENT"]


async def test_later_starts_keep_keys_and_data(compose, story):
    keys = ("sha256sum", "/run/artcafe/keys/sealing.key", "/run/artcafe/keys/operator.nk")
    before = compose.execute("identity", *keys).stdout
    await asyncio.to_thread(compose.run, "down")
    await compose.up()
    assert compose.execute("identity", *keys).stdout == before
    token = await log_in(compose)
    async with compose.http("api.localhost", token) as http:
        http.headers["X-Tenant-Id"] = story["tenant_id"]
        account = await call(http, "GET", f"/accounts/{story['tenant_id']}", 200)
        assert account["name"] == "Containers"
        history = await call(http, "GET", f"/channels/{story['channel_id']}/messages", 200)
        assert history["messages"] == story["history"]
        stats = await call(http, "GET", "/usage/local/stats", 200)
        assert stats["today"]["messages"] == story["messages"]


async def test_down_leaves_nothing(compose):
    assert compose.leftovers()
    await asyncio.to_thread(compose.run, "down", "--volumes")
    assert compose.leftovers() == []
