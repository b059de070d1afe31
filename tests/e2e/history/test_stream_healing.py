"""A platform stream that was deleted or changed is restored within a minute."""

import json
import time

from nats.aio.client import Client, RawCredentials
from nats.js.errors import NotFoundError

from artcafe_common.broker.claims import Credentials, UserClaims, encode
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.broker.subjects import HISTORY_STREAM
from artcafe_common.key_ring import KeyRing
from artcafe_identity.seed_cipher import SeedCipher
from support.aws import call_dynamodb
from support.cleanup import close_after_test
from support.waiting import eventually


async def enter_streams_account(tenant):
    """A connection into the account of the platform's streams, as only the platform's keys allow it."""
    stack = tenant.stack
    key = {"seed_id": {"S": f"account#{tenant.id}"}}
    item = (await call_dynamodb(stack, "get_item", TableName="artcafe-nkey-seeds", Key=key))["Item"]
    streams = json.loads(item["streams"]["S"])
    cipher = SeedCipher(KeyRing.from_file(stack.directory / "keys/sealing.key"))
    signing_key = cipher.decrypt(streams["sealed_seed"], tenant_id=tenant.id, public=streams["platform_key"])
    user = create_key_pair(KeyKind.USER)
    jwt = encode(
        UserClaims(issuer_account=streams["account"]),
        issuer=KeyPair(signing_key),
        subject=user.public,
        name="operator",
        issued_at=int(time.time()),
    )
    nc = Client()
    close_after_test(nc, nc.close)
    await nc.connect(
        f"nats://127.0.0.1:{stack.ports.nats}",
        user_credentials=RawCredentials(Credentials(jwt=jwt, seed=user.seed).render()),
    )
    return nc.jetstream()


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
