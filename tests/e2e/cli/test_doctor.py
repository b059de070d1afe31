"""`artcafe doctor` on a healthy installation, and on one whose parts fail one by one."""

import asyncio
import base64
import json

from aiobotocore.session import get_session

from support.actors import User
from support.cli import Terminal
from support.waiting import eventually


async def examined(stack, tmp_path, **environ):
    terminal = Terminal(tmp_path)
    done = await terminal.run("doctor", "--json", **{**stack.environ(), **environ})
    told = done.json
    assert done.code == (5 if told["fail"] else 0), done.err
    for each in told["checks"]:
        assert each["status"] == "ok" or each["mend"]
        assert "\n" not in each["detail"] + each.get("mend", "")
    return told


def wrong(told, status="fail"):
    return {each["check"]: each for each in told["checks"] if each["status"] == status}


async def test_the_doctor_finds_nothing_where_nothing_is(stack, tmp_path):
    told = await examined(stack, tmp_path)
    assert (told["status"], wrong(told), wrong(told, "warn")) == ("ok", {}, {})
    checks = {each["check"] for each in told["checks"]}
    assert checks == {
        *("nats", "streams", "redis", "dynamodb", "tables", "jwks", "clocks", "accounts"),
        *("gateway", "identity", "tenancy", "presence", "metering"),
    }
    people = await Terminal(tmp_path).run("doctor", **stack.environ())
    assert people.code == 0
    assert all(line.startswith("ok ") for line in people.out.splitlines())


async def test_the_doctor_sees_an_account_that_the_broker_lost(separate_stack, tmp_path):
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    agent = await tenant.create_client()
    accounts = separate_stack.directory / "data/nats/accounts"

    async def lost():
        # Where the broker runs on, it believes its index and not its disk. And identity gives the
        # account back by itself every half a minute; the doctor may come too late.
        await separate_stack.supervisor.stop("nats")
        for path in accounts.glob("*.jwt"):
            if name_in(path) == tenant.id:
                path.unlink()
        separate_stack.start("nats")
        await separate_stack.wait_for_servers()
        await eventually(back, within=30)
        return wrong(await examined(separate_stack, tmp_path)).get("accounts")

    async def back():
        return (await Terminal(tmp_path).run("status", "--api", separate_stack.api)).code == 0

    found = await eventually(lost, within=60)
    assert tenant.id in found["detail"]
    assert found["mend"].startswith("artcafe sync-accounts ")
    done = await Terminal(tmp_path).run("sync-accounts", "--json", **separate_stack.environ())
    assert done.code == 0, done.err
    assert done.json["known"] >= 2
    assert "accounts" not in wrong(await examined(separate_stack, tmp_path))
    await (await agent.connect_nats()).flush()


def name_in(path):
    """The account's name, which is the tenant's id."""
    body = path.read_text().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["name"]


async def test_the_doctor_sees_a_clock_that_is_wrong(stack, tmp_path):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"keys": [{"kid": "a"}]}'
        head = (
            f"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        told = await examined(stack, tmp_path, ARTCAFE_OIDC_JWKS_URL=f"http://127.0.0.1:{port}/")
    assert "jwks" in wrong(told)["clocks"]["detail"]
    assert "set-ntp" in wrong(told)["clocks"]["mend"]


async def test_the_doctor_sees_what_the_tables_lack(separate_stack, tmp_path):
    await aws(
        separate_stack,
        "update_time_to_live",
        TableName="artcafe-Challenges",
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
    )
    found = wrong(await examined(separate_stack, tmp_path))["tables"]
    assert "artcafe-Challenges" in found["detail"]
    assert "aws dynamodb update-time-to-live --table-name artcafe-Challenges" in found["mend"]
    await aws(
        separate_stack,
        "update_table",
        TableName="artcafe-channels",
        GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "TenantIndex"}}],
    )
    told = await examined(separate_stack, tmp_path)
    assert any("artcafe-channels: the index TenantIndex" in each["detail"] for each in told["checks"])
    await aws(separate_stack, "delete_table", TableName="artcafe-channels")
    told = await examined(separate_stack, tmp_path)
    (gone,) = [each for each in told["checks"] if "artcafe-channels does not exist" in each["detail"]]
    done = await Terminal(tmp_path).run(*gone["mend"].split()[1:], **separate_stack.environ())
    assert done.out == "created artcafe-channels\n"
    assert not any(
        "artcafe-channels" in each["detail"] for each in (await examined(separate_stack, tmp_path))["checks"]
    )


async def aws(stack, operation, **arguments):
    client = get_session().create_client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=stack.aws_url,
        aws_access_key_id="development",
        aws_secret_access_key="development",
    )
    async with client as dynamodb:
        await getattr(dynamodb, operation)(**arguments)


async def test_the_doctor_sees_dead_servers_and_services(separate_stack, tmp_path):
    await separate_stack.supervisor.stop("metering")
    degraded = await Terminal(tmp_path).run("status", "--json", "--api", separate_stack.api)
    assert (degraded.code, degraded.json["status"]) == (5, "degraded")
    await separate_stack.supervisor.stop("gateway")
    found = wrong(await examined(separate_stack, tmp_path))
    assert found["metering"]["mend"] == "python -m artcafe_metering"
    assert "python -m artcafe_gateway" in found["gateway"]["mend"]
    await separate_stack.supervisor.stop("redis")
    assert "redis-server --appendonly yes" in wrong(await examined(separate_stack, tmp_path))["redis"]["mend"]
    await separate_stack.supervisor.stop("nats")
    found = wrong(await examined(separate_stack, tmp_path))
    assert "nats-server -c" in found["nats"]["mend"]
    assert found.keys() >= {"streams", "accounts", "identity", "tenancy", "presence"}
    await separate_stack.supervisor.stop("moto")
    found = wrong(await examined(separate_stack, tmp_path))
    assert found.keys() >= {"dynamodb", "jwks"}


async def test_the_doctor_without_keys_or_with_a_bad_setting(stack, tmp_path):
    found = wrong(await examined(stack, tmp_path, ARTCAFE_KEYS_DIR=str(tmp_path)))
    assert "ARTCAFE_KEYS_DIR" in found["nats"]["mend"]
    done = await Terminal(tmp_path).run("doctor", **{**stack.environ(), "ARTCAFE_PORT": "high"})
    assert done.code == 1
    assert done.err.startswith("artcafe: ARTCAFE_PORT is not valid")
