"""The standard Python library over direct NATS: micro services, streams, key-value and object stores."""

import asyncio

import nats.errors
import nats.js.errors
import nats.micro
import pytest
from nats.js.api import ConsumerConfig

from support.waiting import QUIET_PERIOD_S, eventually

MANAGE = {"streams": "manage"}


async def test_clients_with_default_permissions_run_and_call_micro_services(tenant):
    server = await (await tenant.create_client()).connect_nats()
    caller = await (await tenant.create_client()).connect_nats()

    async def double(request):
        await request.respond(b"%d" % (2 * int(request.data)))

    async with await nats.micro.add_service(server, name="maths", version="1.0.0") as service:
        await service.add_endpoint(name="double", handler=double)
        await server.flush()
        assert (await caller.request("double", b"21", timeout=2)).data == b"42"
        for verb in ("PING", "INFO", "STATS"):
            assert b"maths" in (await caller.request(f"$SRV.{verb}.maths", b"", timeout=2)).data


async def test_narrowed_clients_run_and_call_micro_services(tenant):
    server = await tenant.create_client(permissions={"publish": [], "subscribe": ["double"]})
    caller = await tenant.create_client(permissions={"publish": ["double"], "subscribe": []})
    server_nc = await server.connect_nats()
    caller_nc = await caller.connect_nats(inbox_prefix=f"_INBOX.{caller.id}".encode())

    async def double(request):
        await request.respond(b"%d" % (2 * int(request.data)))

    async with await nats.micro.add_service(server_nc, name="maths", version="1.0.0") as service:
        await service.add_endpoint(name="double", handler=double)
        await server_nc.flush()
        assert (await caller_nc.request("double", b"21", timeout=2)).data == b"42"
        assert b"maths" in (await caller_nc.request("$SRV.PING.maths", b"", timeout=2)).data


async def test_client_that_manages_streams_uses_them_with_all_kinds_of_consumers(tenant):
    js = (await (await tenant.create_client(permissions=MANAGE)).connect_nats()).jetstream(timeout=5)
    await js.add_stream(name="JOBS", subjects=["jobs.>"], max_bytes=1_000_000)
    for number in range(5):
        assert (await js.publish("jobs.x", b"%d" % number)).seq == number + 1
    pull = await js.pull_subscribe("jobs.>", durable="worker", stream="JOBS")
    fetched = await pull.fetch(5, timeout=5)
    for message in fetched:
        await message.ack_sync()
    assert [message.data for message in fetched] == [b"0", b"1", b"2", b"3", b"4"]
    info = await js.consumer_info("JOBS", "worker")
    assert (info.num_ack_pending, info.num_pending) == (0, 0)
    pushed = []

    async def record(message):
        pushed.append(message.data)

    ordered = await js.subscribe("jobs.>", stream="JOBS", cb=record, ordered_consumer=True)
    config = ConsumerConfig(idle_heartbeat=5, flow_control=True)
    await js.subscribe("jobs.x", stream="JOBS", cb=record, durable="push", config=config)
    await eventually(lambda: len(pushed) == 10)
    await ordered.unsubscribe()
    assert (await js.get_msg("JOBS", seq=3)).data == b"2"
    assert await js.delete_msg("JOBS", 3)
    await js.purge_stream("JOBS")
    assert await js.delete_stream("JOBS")


async def test_client_that_manages_streams_keeps_key_value_and_object_stores(tenant):
    js = (await (await tenant.create_client(permissions=MANAGE)).connect_nats()).jetstream(timeout=5)
    bucket = await js.create_key_value(bucket="settings", max_bytes=1_000_000)
    watcher = await bucket.watchall()
    await bucket.put("colour", b"red")
    revision = (await bucket.get("colour")).revision
    await bucket.update("colour", b"blue", last=revision)
    assert (await bucket.get("colour")).value == b"blue"
    assert await bucket.keys() == ["colour"]
    updates = [await watcher.updates(timeout=2) for _ in range(3)]
    assert [update.value for update in updates if update] == [b"red", b"blue"]
    await bucket.delete("colour")
    await js.delete_key_value("settings")
    store = await js.create_object_store(bucket="files")
    await store.put("report", b"x" * 300_000)
    assert (await store.get("report")).data == b"x" * 300_000
    await js.delete_object_store("files")


@pytest.mark.parametrize("permissions", [{}, {"streams": "none"}, {"publish": ["a"]}, {"subscribe": ["a"]}])
async def test_other_clients_keep_no_streams(tenant, permissions):
    nc = await (await tenant.create_client(permissions=permissions)).connect_nats()
    js = nc.jetstream(timeout=QUIET_PERIOD_S)
    errors = (nats.js.errors.Error, nats.errors.Error, asyncio.TimeoutError)
    with pytest.raises(errors):
        await js.add_stream(name="MINE", subjects=["mine.>"])
    with pytest.raises(errors):
        await js.create_key_value(bucket="mine")
