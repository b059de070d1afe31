"""Backups that restore: what is destroyed comes back as of the backup, and the services go on."""

import asyncio
import contextlib
import json

import boto3
import nats.errors
import pytest

from artcafe_common.backup.accounts import open_stream_accounts
from artcafe_common.backup.create import create_backup
from artcafe_common.backup.directory import list_backups
from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.manifest import Part
from artcafe_common.backup.settings import BackupSettings
from artcafe_common.contracts.identity.stream_accounts import StreamAccess
from artcafe_common.settings import load
from support.actors import User
from support.aws import aws_environment
from support.backups import PAGE, BackupTerminal
from support.health import wait_until_healthy
from support.history import create_subject, publish, read_history
from support.snippets import snippets
from support.waiting import eventually


@pytest.fixture(scope="module")
async def lossy_stack(new_stack):
    """A stack whose servers lose their files."""
    async with new_stack() as stack:
        yield stack


@pytest.fixture
async def org(lossy_stack):
    return await (await User.sign_up(lossy_stack)).create_organization()


@pytest.fixture
def terminal(lossy_stack, tmp_path):
    return BackupTerminal(lossy_stack, tmp_path / "operator")


async def can_publish(tenant, channel, data):
    path = f"/channels/{channel['channel_id']}/messages"
    response = await tenant.http.post(path, json={"data": data})
    return response.status_code == 202 and "seq" in response.json() and response.json()


async def test_lost_streams_are_restored_with_sequence_numbers_and_times(lossy_stack, org, terminal):
    channel = await org.create_channel()
    subject = await create_subject(org)
    stored = await publish(org, channel, *({"data": number} for number in range(20)))
    await (await org.create_client()).connect_nats()
    history = (await read_history(org, channel))["messages"]
    await terminal.back_up("streams")
    await publish(org, channel, {"data": "after the backup"})

    await terminal.lose("nats")
    lossy_stack.start("nats")
    await wait_until_healthy(org)
    out = await terminal.run_documented("restore-streams.sh")

    assert f"restored {org.id}/CHANNELS" in out
    assert f"restored {org.id}/{subject['stream']}" in out
    await eventually(lambda: _is(lambda: list_stored(org, channel), history))
    answer = await eventually(lambda: can_publish(org, channel, "new"))
    assert answer["seq"] == stored[-1]["seq"] + 1
    # A client that had read the message after the backup: nothing is repeated, and what is new arrives.
    socket = await (await org.create_client()).connect_websocket()
    await socket.send(type="subscribe", channel=channel["channel_id"], since=str(answer["seq"] + 1), id="s")
    await socket.receive("subscribed")
    following = await eventually(lambda: can_publish(org, channel, "next"))
    assert (await socket.receive("message"))["seq"] == following["seq"]


async def test_clients_own_streams_and_their_consumers_are_restored(lossy_stack, org, terminal):
    client = await org.create_client(permissions={"publish": [">"], "subscribe": [">"], "streams": "manage"})
    js = (await client.connect_nats()).jetstream()
    await js.add_stream(name="Mine", subjects=[f"{org.id}.mine.>"])
    await js.add_stream(name="mine", subjects=[f"{org.id}.other.>"])
    for number in range(5):
        await js.publish(f"{org.id}.mine.x", str(number).encode())
    reader = await js.pull_subscribe(f"{org.id}.mine.>", durable="reader", stream="Mine")
    for message in await reader.fetch(2):
        await message.ack_sync()
    await terminal.back_up("streams")

    await terminal.lose("nats")
    lossy_stack.start("nats")
    await wait_until_healthy(org)
    await terminal.succeed("restore", "latest", "--only", "streams")

    js = (await client.connect_nats()).jetstream()
    assert (await js.stream_info("mine")).config.subjects == [f"{org.id}.other.>"]
    reader = await js.pull_subscribe(f"{org.id}.mine.>", durable="reader", stream="Mine")
    assert [message.data for message in await reader.fetch(3)] == [b"2", b"3", b"4"]


async def test_stream_with_newer_messages_is_replaced_only_on_demand(org, terminal):
    channel = await org.create_channel()
    # Another test may just have lost and restored the broker's store.
    await eventually(lambda: can_publish(org, channel, 1))
    await terminal.back_up("streams")
    await publish(org, channel, {"data": 2})
    line = await terminal.fail("restore", "latest", "--only", "streams")
    assert f"{org.id}/CHANNELS" in line
    assert "--replace" in line
    assert len((await read_history(org, channel))["messages"]) == 2
    await terminal.succeed("restore", "latest", "--only", "streams", "--replace")
    assert [each["data"] for each in (await read_history(org, channel))["messages"]] == [1]


async def test_backup_reads_streams_and_cannot_change_them(lossy_stack, org, terminal):
    """The credentials of a backup read snapshots; only those of a restoration replace streams."""
    channel = await org.create_channel()
    await eventually(lambda: can_publish(org, channel, 1))
    async with open_stream_accounts(load(BackupSettings, terminal.environ)) as accounts:
        account = next(a for a in await accounts.list_all() if a.tenant_id == org.id and a.kind == "streams")
        async with accounts.connect(account, StreamAccess.BACKUP) as nc:
            for verb in ("DELETE", "PURGE", "UPDATE"):
                with pytest.raises(nats.errors.Error):
                    await nc.request(f"$JS.API.STREAM.{verb}.CHANNELS", b"", timeout=0.4)
            info = await nc.request("$JS.API.STREAM.INFO.CHANNELS", b"", timeout=2)
    assert json.loads(info.data)["state"]["messages"] >= 1


async def test_lost_keys_are_restored_and_clients_log_in(lossy_stack, org, terminal):
    client = await org.create_client()
    keys = lossy_stack.directory / "keys"
    before = {path.name: path.read_bytes() for path in keys.iterdir()}
    await terminal.back_up("keys")
    programs = ("nats", "identity", "tenancy", "presence", "metering", "gateway")
    for name in programs:
        await lossy_stack.supervisor.stop(name)
    for path in keys.iterdir():
        path.unlink()
    keys.rmdir()

    await terminal.run_documented("restore-keys.sh", NEW_KEYS_DIR=keys)
    assert {path.name: path.read_bytes() for path in keys.iterdir()} == before
    assert {path.stat().st_mode & 0o777 for path in keys.iterdir()} == {0o600}
    for name in programs:
        lossy_stack.start(name)
    await lossy_stack.wait_ready()
    nc = await client.connect_nats()
    await nc.flush()
    await (await client.connect_websocket()).close()
    # Stored seeds can be decrypted: a new bridge and a new organization are possible.
    assert await org.create_channel()
    line = await terminal.fail("restore", "latest", "--only", "keys")
    assert "--replace" in line
    await terminal.succeed("restore", "latest", "--only", "keys", "--replace")
    aside = [path for path in keys.iterdir() if path.name.startswith("before-restore-")]
    assert {path.name for path in aside[0].iterdir()} == set(before)


async def test_lost_redis_is_restored_as_of_the_backup(lossy_stack, org, terminal):
    channel = await org.create_channel()
    await publish(org, channel, *({"data": number} for number in range(30)))

    async def messages():
        return (await org.call("GET", "/usage/current", 200))["messages"]["used"]

    await eventually(lambda: _is(messages, 30))
    await terminal.back_up("redis")
    line = await terminal.fail(
        "restore", "latest", "--only", "redis", "--to", lossy_stack.directory / "data/redis"
    )
    assert "stop it" in line

    await terminal.lose("redis")
    data = lossy_stack.directory / "data/redis"
    await terminal.run_documented("restore-redis.sh", REDIS_DIR=data)
    lossy_stack.start("redis")
    await eventually(lambda: _is(messages, 30))
    usage = await org.call("GET", "/usage/metrics", 200)
    assert usage["totals"]["messages"] == 30
    await publish(org, channel, {"data": "more"})
    await eventually(lambda: _is(messages, 31))
    # It survives another restart of the server, with the append-only file that it writes now.
    await lossy_stack.supervisor.stop("redis")
    lossy_stack.start("redis")
    await eventually(lambda: _is(messages, 31))


async def list_stored(tenant, channel):
    return (await read_history(tenant, channel))["messages"]


async def _is(read, expected):
    with contextlib.suppress(AssertionError):
        return await read() == expected


async def test_backup_of_everything_is_complete_sound_and_in_the_bucket(lossy_stack, org, terminal):
    await publish(org, await org.create_channel(), {"data": 1})
    await asyncio.to_thread(
        boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=lossy_stack.aws_url,
            aws_access_key_id="development",
            aws_secret_access_key="development",
        ).create_bucket,
        Bucket="backups",
    )
    created = await terminal.run_json("backup", ARTCAFE_BACKUP_BUCKET="backups")
    assert created["parts"] == ["redis", "keys", "streams"]
    out = await terminal.succeed("restore", created["url"], "--check")
    assert "decrypted" in out
    assert "complete and sound" in out


async def test_documented_commands_make_and_verify_a_backup(org, terminal):
    names = {"backup-parts.sh", "restore-redis.sh", "restore-streams.sh", "restore-keys.sh"}
    assert snippets(PAGE).keys() == names
    assert "complete and sound" in await terminal.run_documented("backup-parts.sh")


async def test_failures_have_one_line_and_leave_no_backup(lossy_stack, org, terminal):
    line = await terminal.fail("backup", code=5, REDIS_URL="redis://127.0.0.1:1/0")
    assert "Redis at redis://127.0.0.1:1" in line

    async def fail(**environ):
        with pytest.raises(BackupFailed) as failure:
            await create_backup(load(BackupSettings, {**terminal.environ, **environ}), list(Part))
        return str(failure.value)

    assert "the broker at nats://127.0.0.1:1" in await fail(NATS_URL="nats://127.0.0.1:1")
    assert "ARTCAFE_BACKUP_RECIPIENT" in await fail(ARTCAFE_BACKUP_RECIPIENT="")
    assert "not an age public key" in await fail(ARTCAFE_BACKUP_RECIPIENT="age1nonsense")
    assert [path.name for path in terminal.backups.iterdir()] == [".lock"]
    # The backup is there, the copy is not.
    with aws_environment(lossy_stack):
        assert "not in the bucket no-such-bucket" in await fail(ARTCAFE_BACKUP_BUCKET="no-such-bucket")
    assert len(list_backups(terminal.backups)) == 1
