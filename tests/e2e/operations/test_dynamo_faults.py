"""What users see while DynamoDB lags, conflicts, throttles, fails or loses responses.

`make test-faults` runs the other tests through the same proxy.
"""

import asyncio
import sys
from collections import Counter

import httpx
import pytest

from artcafe_common.clock import new_id
from artcafe_common.dev.stack import LOOPBACK
from artcafe_common.dev.supervisor import Program
from artcafe_common.plans import LIMITS, Plan
from support.actors import Client, User, set_plan
from support.dynamo_proxy.faults import BUSY, TRANSACTION, WRITES, Faults
from support.faulty_stack import FaultyStack
from support.metrics import parse, total
from support.stack import free_ports, running_stack
from support.waiting import eventually

# Longer than the requests of a test take, so that nothing is seen by accident.
LAGGING = Faults(lag_s=3.0)
QUIET = Faults()


@pytest.fixture(scope="module")
async def stack(tmp_path_factory):
    async with running_stack(tmp_path_factory.mktemp("stack"), kind=FaultyStack) as running:
        yield running


@pytest.fixture
async def faults(stack):
    """Sets the faults until the end of the test."""
    yield stack.set_faults
    await stack.set_faults(QUIET)


async def create_channels(tenant, count):
    """The responses to concurrent requests."""
    return await asyncio.gather(
        *(tenant.http.post("/channels", json={"name": f"news {new_id()}"}) for _ in range(count))
    )


async def test_clients_exchange_messages_while_dynamodb_is_busy(stack, faults):
    await faults(BUSY)
    tenant = await (await User.sign_up(stack)).create_organization()
    alice, bob = await tenant.create_client("alice"), await tenant.create_client("bob")
    channel = await tenant.create_channel()
    ws, nc = await alice.connect_websocket(), await bob.connect_nats()
    await ws.subscribe(channel=channel["channel_id"])
    await nc.publish(channel["subject"], b'"from bob"')
    assert (await ws.receive("message"))["data"] == "from bob"
    await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", 202, json={"by": "rest"})
    await ws.receive("message", data={"by": "rest"})
    await tenant.call("DELETE", f"/clients/{alice.id}", 200)
    assert (await ws.wait_closed())[0] == 4403
    await tenant.call("GET", f"/clients/{alice.id}", 404)
    shown = await stack.count_faults()
    assert shown["lagging"]


async def test_concurrent_creations_of_one_organization_all_succeed(stack, faults):
    tenant = await (await User.sign_up(stack)).create_organization()
    await tenant.create_channel()
    # As long as a transaction takes, and conflicts with those of other instances.
    await faults(Faults(transaction_s=0.02, conflicts=0.2))
    assert {each.status_code for each in await create_channels(tenant, 20)} == {201}
    assert (await stack.count_faults())["conflicts"]

    limited = await tenant.owner.create_organization("Limited")
    await set_plan(limited, "free")
    limit = LIMITS[Plan.FREE].channels
    await limited.create_channel()
    codes = [each.status_code for each in await create_channels(limited, limit + 2)]
    assert sorted(codes) == [201] * (limit - 1) + [409] * 3
    # The count is exact afterwards, too.
    listed = (await limited.call("GET", "/channels", 200))["channels"]
    await limited.call("DELETE", f"/channels/{listed[0]['channel_id']}", 200)
    codes = [each.status_code for each in await create_channels(limited, 3)]
    assert sorted(codes) == [201] + [409] * 2


@pytest.fixture
async def second_instances(stack):
    """Starts a second tenancy and a second identity; the URLs of their metrics and health."""
    ports = free_ports()
    urls = []
    for service, port in (("tenancy", ports.tenancy_metrics), ("identity", ports.identity_metrics)):
        name = f"{service}-2"
        own = {"ARTCAFE_METRICS_PORT": str(port), "ARTCAFE_SERVER_ID": name}
        stack.supervisor.start(
            Program(
                name=name,
                command=[sys.executable, "-m", f"artcafe_{service}"],
                environ=stack.environ(service) | own,
                log=stack.directory / "logs" / f"{name}.log",
            )
        )
        urls.append(f"http://{LOOPBACK}:{port}")
    async with httpx.AsyncClient() as http:

        async def are_healthy():
            try:
                return all([(await http.get(f"{url}/health")).is_success for url in urls])
            except httpx.HTTPError:
                return False

        await eventually(are_healthy, within=20)
    yield urls
    for service in ("tenancy", "identity"):
        await stack.supervisor.stop(f"{service}-2")


async def send_at_once(tenant, *requests):
    """How often each status code, and the responses; each request is a method, a path and a body."""
    responses = await asyncio.gather(
        *(tenant.http.request(method, path, json=body) for method, path, body in requests)
    )
    return Counter(each.status_code for each in responses), responses


async def test_two_instances_change_one_organization_at_once(stack, faults, second_instances):
    owner = await User.sign_up(stack)
    tenant, limited = await owner.create_organization(), await owner.create_organization("Limited")
    await set_plan(limited, "free")
    limits = LIMITS[Plan.FREE]
    await faults(BUSY)

    # A limit is exact, and nothing is refused that has room.
    codes, _ = await send_at_once(
        limited, *(("POST", "/channels", {"name": f"c {n}"}) for n in range(limits.channels + 5))
    )
    assert codes == {201: limits.channels, 409: 5}
    channels = [await limited.call("GET", f"/channels/c {n}") for n in range(limits.channels + 5)]
    existing = [each["channel_id"] for each in channels if "channel_id" in each]
    assert len(existing) == limits.channels
    codes, _ = await send_at_once(limited, *(("DELETE", f"/channels/{each}", None) for each in existing[:3]))
    assert codes == {200: 3}
    codes, _ = await send_at_once(limited, *(("POST", "/channels", {"name": f"d {n}"}) for n in range(5)))
    assert codes == {201: 3, 409: 2}
    codes, responses = await send_at_once(
        limited, *(("POST", "/clients", {"name": f"robot {n}"}) for n in range(limits.clients + 3))
    )
    assert codes == {201: limits.clients, 409: 3}
    for created in (each.json() for each in responses if each.status_code == 201):
        assert (await Client(limited, created).connect_nats()).is_connected

    # A name has one holder, whoever creates or renames.
    codes, _ = await send_at_once(tenant, *(("POST", "/channels", {"name": "Same"}) for _ in range(8)))
    assert codes == {201: 1, 409: 7}
    paths = [f"/channels/{(await tenant.create_channel())['channel_id']}" for _ in range(5)]
    codes, _ = await send_at_once(tenant, *(("PUT", path, {"name": "Renamed"}) for path in paths))
    assert codes == {200: 1, 409: 4}
    codes, _ = await send_at_once(tenant, *(("PUT", paths[0], {"description": str(n)}) for n in range(6)))
    assert codes == {200: 6}
    codes, _ = await send_at_once(
        tenant,
        *(("DELETE", path, None) for path in paths),
        *(("POST", "/channels", {"name": f"e {n}"}) for n in range(5)),
    )
    assert codes == {200: 5, 201: 5}

    # The last of several new signing keys is the only one.
    path = f"/accounts/generate-nkey/{tenant.id}"
    codes, responses = await send_at_once(tenant, *(("POST", path, None) for _ in range(4)))
    assert codes == {201: 4}
    listed = await tenant.list_items(f"/accounts/{tenant.id}/signing-keys")
    assert len(listed) == 1
    assert listed[0]["nkey_public"] in {each.json()["nkey_public"] for each in responses}

    async with httpx.AsyncClient() as http:
        for url in second_instances:
            samples = parse((await http.get(f"{url}/metrics")).text)
            assert total(samples, "artcafe_commands_total", code="ok") > 5


async def test_change_whose_response_is_lost_is_made_once(stack, faults):
    tenant = await (await User.sign_up(stack)).create_organization()
    await tenant.create_channel()
    await faults(Faults(lost=0.5, operations=(TRANSACTION,)))
    assert {each.status_code for each in await create_channels(tenant, 5)} == {201}
    assert (await stack.count_faults())["lost"]
    # An agent's challenge is consumed by the first attempt, whose response is lost.
    client = await tenant.create_client()
    await faults(Faults(lost=0.5, operations=WRITES))
    for _ in range(5):
        nonce = (await tenant.call("POST", "/auth/client/challenge", json={"client_id": client.id}))["nonce"]
        assert nonce
        await client.connect_websocket()


async def test_founder_uses_a_new_organization_at_once(stack, faults):
    user = await User.sign_up(stack)
    await faults(LAGGING)
    await user.create_organization("First")
    response = await user.http.get("/channels")
    assert response.status_code == 200, response.text
    names = [each["name"] for each in (await user.http.get("/accounts")).json()["accounts"]]
    assert names == ["First"]
    # With a second one, the choice is never made for the user.
    await user.create_organization("Second")
    response = await user.http.post("/channels", json={"name": "where?"})
    assert (response.status_code, response.json()["code"]) == (400, "tenant_required")
    organizations = (await user.http.get("/profile/me")).json()["organizations"]
    assert {each["name"] for each in organizations} == {"First", "Second"}


async def test_new_and_regenerated_keys_log_in_at_once(stack, faults):
    await faults(LAGGING)
    tenant = await (await User.sign_up(stack)).create_organization()
    client = await tenant.create_client()
    first = await client.connect_nats()
    assert first.is_connected
    old_seed = client.seed
    regenerated = await tenant.call("POST", f"/clients/{client.id}/regenerate-nkey", 200)
    client.seed = regenerated["nkey_seed"]
    assert (await client.connect_nats()).is_connected
    client.seed = old_seed
    with pytest.raises(Exception, match=r"(?i)authorization"):
        await client.connect_nats()


async def test_first_traffic_of_a_new_organization_is_counted(stack, faults):
    await faults(LAGGING)
    tenant = await (await User.sign_up(stack)).create_organization()
    nc = await (await tenant.create_client()).connect_nats()
    await nc.publish(f"{tenant.id}.first", b"1")
    await nc.flush()

    async def counted():
        stats = await tenant.call("GET", "/usage/local/stats", 200)
        return stats["today"]["messages"] == 1

    await eventually(counted)


async def test_throttled_request_is_told_when_to_retry(stack, faults):
    tenant = await (await User.sign_up(stack)).create_organization()
    await tenant.call("GET", "/channels", 200)
    await faults(Faults(throttled=1.0))
    response = await tenant.http.post("/channels", json={"name": "news"})
    assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    await faults(QUIET)
    await tenant.call("POST", "/channels", 201, json={"name": "news"})


async def test_lists_of_the_largest_clients_have_pages_that_can_be_sent(stack):
    tenant = await (await User.sign_up(stack)).create_organization()
    patterns = [f"{tenant.id}.{number:03}.{'x' * 200}" for number in range(100)]
    largest = {
        "permissions": {"publish": patterns, "subscribe": patterns},
        "metadata": {"notes": "y" * 16_000},
    }
    created = set()
    for _ in range(4):
        some = await asyncio.gather(*(tenant.create_client(**largest) for _ in range(6)))
        created |= {each.id for each in some}
    found, cursor = [], None
    while True:
        params = {"limit": 200, "status": "offline", **({"cursor": cursor} if cursor else {})}
        page = await tenant.call("GET", "/clients", 200, params=params)
        assert page["clients"]
        found += [each["client_id"] for each in page["clients"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(found) == sorted(created)
    client_id = found[0]
    changed = {"metadata": {"notes": "z" * 16_000}, "permissions": {"publish": patterns[:99]}}
    assert (await tenant.call("PUT", f"/clients/{client_id}", 200, json=changed))["metadata"] == changed[
        "metadata"
    ]
