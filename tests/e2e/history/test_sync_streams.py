"""`artcafe sync-streams` updates history streams that an earlier release configured."""

from msgspec.structs import fields

from artcafe_common.broker.connect import connect
from artcafe_common.broker.subjects import HISTORY_STREAM
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.contracts.identity.streams import EnsureStream
from artcafe_tenancy.stream_reconciler import HISTORY_MESSAGES_PER_CHANNEL, HISTORY_RETENTION
from artcafe_tenancy.subject_patterns import all_channels_subject
from artcafe_tenancy.tables import SubjectItem
from support.cli import Terminal

FIRST_VERSION = next(field.default for field in fields(SubjectItem) if field.name == "version")


async def restore_old_configuration(stack, tenant):
    """Set the republish prefix of earlier releases on a tenant's history stream."""
    nc = await connect(stack.environ()["NATS_URL"], stack.directory / "keys/tenancy.creds", name="tenancy")
    try:
        await Bus(nc, service="tenancy").call(
            EnsureStream(
                tenant_id=tenant.id,
                stream=HISTORY_STREAM,
                version=FIRST_VERSION,
                subjects=[all_channels_subject(tenant.id)],
                max_bytes=HISTORY_RETENTION.max_bytes,
                max_age_s=HISTORY_RETENTION.max_age_s,
                max_messages_per_subject=HISTORY_MESSAGES_PER_CHANNEL,
                republish_prefix="_KEPT",
            ),
            caller=CallerContext.service("tenancy"),
        )
    finally:
        await nc.close()


async def test_resume_works_after_streams_are_synced(stack, tenant, tmp_path):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    socket, nc = await client.connect_websocket(), await client.connect_nats()
    name = channel["channel_id"]
    await restore_old_configuration(stack, tenant)
    await nc.publish(channel["subject"], b'"stored"')
    await nc.flush()
    await socket.send_and_receive("subscribe", "subscribed", channel=name, since=1)
    stored = await socket.receive("message")
    assert stored["data"] == "stored"
    await nc.publish(channel["subject"], b'"missed"')
    await nc.flush()
    # The stream republishes to a subject that the gateway does not subscribe to.
    await socket.assert_no_frame("message", for_s=0.3)

    for _ in range(2):
        result = await Terminal(tmp_path).run("sync-streams", "--json", **stack.environ())
        assert (result.code, result.json["rejected"]) == (0, []), result.err
        assert result.json["synced"] >= 1

    late = await client.connect_websocket()
    await late.send_and_receive("subscribe", "subscribed", channel=name, since=stored["seq"])
    await nc.publish(channel["subject"], b'"live"')
    await nc.flush()
    assert [(await late.receive("message"))["data"] for _ in range(3)] == ["stored", "missed", "live"]
    assert (await socket.receive("message"))["data"] in ("missed", "live")
