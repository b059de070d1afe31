"""A platform stream that was deleted or changed is restored within a minute."""

from nats.js.errors import NotFoundError

from artcafe_common.broker.subjects import HISTORY_STREAM
from support.streams_account import enter_streams_account
from support.waiting import eventually


async def test_nothing_is_acknowledged_while_the_stream_is_missing(tenant):
    channel = await tenant.create_channel()
    assert channel["has_history"]
    socket = await (await tenant.create_client()).connect_websocket()
    await (await enter_streams_account(tenant)).delete_stream(HISTORY_STREAM)
    path = f"/channels/{channel['channel_id']}/messages"
    posted = await tenant.call("POST", path, 503, json={"n": 0})
    assert posted["code"] == "stream_unavailable"
    for target in ({"channel": channel["channel_id"]}, {"subject": channel["subject"]}):
        await socket.send(type="publish", id="missing", data=0, **target)
        answer = await socket.receive_any({"published", "error"}, id="missing")
        assert answer.get("code") == "stream_unavailable", answer

    async def is_restored():
        return (await tenant.http.post(path, json={"n": 1})).status_code == 202

    await eventually(is_restored, within=60, every=0.5)
    published = await socket.send_and_receive(
        "publish", "published", data=2, id=2, subject=channel["subject"]
    )
    assert published["seq"] == 2
    stored = (await tenant.call("GET", path, 200))["messages"]
    assert [(m["seq"], m["data"]) for m in stored] == [(1, {"n": 1}), (2, 2)]


async def test_deleted_and_changed_stream_is_restored(tenant):
    channel = (await tenant.create_channel())["channel_id"]
    await tenant.call("POST", f"/channels/{channel}/messages", 202, json={"n": 1})
    js = await enter_streams_account(tenant)
    config = (await js.stream_info(HISTORY_STREAM)).config

    async def is_restored():
        try:
            found = (await js.stream_info(HISTORY_STREAM)).config
        except NotFoundError:
            return False
        return (found.max_bytes, found.subjects) == (config.max_bytes, config.subjects)

    # A version in the metadata that says "newer than the record" is not believed.
    changed = (await js.stream_info(HISTORY_STREAM)).config
    changed.max_bytes, changed.metadata = 4096, {"artcafe_version": "999"}
    await js.update_stream(changed)
    await eventually(is_restored, within=60, every=1)
    await js.delete_stream(HISTORY_STREAM)
    await eventually(is_restored, within=60, every=1)
    posted = await tenant.call("POST", f"/channels/{channel}/messages", 202, json={"n": 2})
    assert posted["seq"] == 1
