"""`artcafe doctor` on a healthy installation, and on one with failures."""

import asyncio
import base64
import json
import sys

from artcafe_common.dev.supervisor import Program
from support.actors import User
from support.aws import call_dynamodb
from support.cli import Terminal
from support.waiting import eventually


async def run_doctor(stack, tmp_path, **environ):
    """The report; each failed check must have a detail of one line, and a fix."""
    terminal = Terminal(tmp_path)
    result = await terminal.run("doctor", "--json", **{**stack.environ(), **environ})
    report = result.json
    assert result.code == (5 if report["fail"] else 0), result.err
    for each in report["checks"]:
        assert each["status"] == "ok" or each["remedy"]
        assert "\n" not in each["detail"] + each.get("remedy", "")
    return report


def checks_with_status(report, status="fail"):
    """The checks with a status, by name."""
    return {each["check"]: each for each in report["checks"] if each["status"] == status}


async def test_doctor_reports_ok_for_a_healthy_stack(stack, tmp_path):
    report = await run_doctor(stack, tmp_path)
    assert (report["status"], checks_with_status(report), checks_with_status(report, "warn")) == (
        "ok",
        {},
        {},
    )
    checks = {each["check"] for each in report["checks"]}
    assert checks == {
        *("nats", "streams", "servers", "storage", "redis", "dynamodb", "tables", "jwks"),
        *("clocks", "accounts", "certificates"),
        *("gateway", "identity", "tenancy", "presence", "metering"),
    }
    details = [each["detail"] for each in report["checks"]]
    # Each instance by itself, with its clock; each stream with its replicas.
    for service in ("gateway", "identity", "tenancy", "presence", "metering"):
        assert any(each.startswith(f"on dev-{service}: answers, version ") for each in details)
        assert f"{service} on dev-{service}" in next(
            each for each in details if "clock" in each or "within" in each
        )
    assert any(each.startswith("EVENTS, ") and each.endswith("1 of 1 replicas") for each in details)
    text = await Terminal(tmp_path).run("doctor", **stack.environ())
    assert text.code == 0, text.out + text.err
    assert all(line.startswith("ok ") for line in text.out.splitlines())


async def test_doctor_detects_an_account_missing_in_the_broker(separate_stack, tmp_path):
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    client = await tenant.create_client()
    accounts = separate_stack.directory / "data/nats/accounts"

    async def lose_account():
        # A running broker uses its index, not the files. Identity restores missing accounts every
        # 30 s, possibly before the doctor runs; hence the retries.
        await separate_stack.supervisor.stop("nats")
        for path in accounts.glob("*.jwt"):
            if account_name(path) == tenant.id:
                path.unlink()
        separate_stack.start("nats")
        await separate_stack.wait_for_servers()
        await eventually(is_healthy, within=30)
        return checks_with_status(await run_doctor(separate_stack, tmp_path)).get("accounts")

    async def is_healthy():
        return (await Terminal(tmp_path).run("status", "--api", separate_stack.api)).code == 0

    found = await eventually(lose_account, within=60)
    assert tenant.id in found["detail"]
    assert found["remedy"].startswith("artcafe sync-accounts ")
    result = await Terminal(tmp_path).run("sync-accounts", "--json", **separate_stack.environ())
    assert result.code == 0, result.err
    assert result.json["known"] >= 2
    assert "accounts" not in checks_with_status(await run_doctor(separate_stack, tmp_path))
    await (await client.connect_nats()).flush()


def account_name(path):
    """The name in an account JWT: the tenant's id."""
    body = path.read_text().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["name"]


async def test_doctor_detects_a_wrong_clock(stack, tmp_path):
    async def respond(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"keys": [{"kid": "a"}]}'
        head = (
            f"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        report = await run_doctor(stack, tmp_path, ARTCAFE_OIDC_JWKS_URL=f"http://127.0.0.1:{port}/")
    assert "jwks" in checks_with_status(report)["clocks"]["detail"]
    assert "set-ntp" in checks_with_status(report)["clocks"]["remedy"]


async def test_doctor_detects_missing_tables_indexes_and_ttl(separate_stack, tmp_path):
    await call_dynamodb(
        separate_stack,
        "update_time_to_live",
        TableName="artcafe-Challenges",
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
    )
    found = checks_with_status(await run_doctor(separate_stack, tmp_path))["tables"]
    assert "artcafe-Challenges" in found["detail"]
    assert "aws dynamodb update-time-to-live --table-name artcafe-Challenges" in found["remedy"]
    await call_dynamodb(
        separate_stack,
        "update_table",
        TableName="artcafe-channels",
        GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "TenantIndex"}}],
    )
    report = await run_doctor(separate_stack, tmp_path)
    assert any("artcafe-channels: the index TenantIndex" in each["detail"] for each in report["checks"])
    await call_dynamodb(separate_stack, "delete_table", TableName="artcafe-channels")
    report = await run_doctor(separate_stack, tmp_path)
    (missing,) = [each for each in report["checks"] if "artcafe-channels does not exist" in each["detail"]]
    result = await Terminal(tmp_path).run(*missing["remedy"].split()[1:], **separate_stack.environ())
    assert result.out == "created artcafe-channels\n"
    assert not any(
        "artcafe-channels" in each["detail"]
        for each in (await run_doctor(separate_stack, tmp_path))["checks"]
    )


async def test_doctor_detects_stopped_servers_and_services(separate_stack, tmp_path):
    await separate_stack.supervisor.stop("metering")
    degraded = await Terminal(tmp_path).run("status", "--json", "--api", separate_stack.api)
    assert (degraded.code, degraded.json["status"]) == (5, "degraded")
    await separate_stack.supervisor.stop("gateway")
    found = checks_with_status(await run_doctor(separate_stack, tmp_path))
    assert found["metering"]["remedy"] == "python -m artcafe_metering"
    assert "python -m artcafe_gateway" in found["gateway"]["remedy"]
    await separate_stack.supervisor.stop("redis")
    assert (
        "redis-server --appendonly yes"
        in checks_with_status(await run_doctor(separate_stack, tmp_path))["redis"]["remedy"]
    )
    await separate_stack.supervisor.stop("nats")
    found = checks_with_status(await run_doctor(separate_stack, tmp_path))
    assert "nats-server -c" in found["nats"]["remedy"]
    assert found.keys() >= {"streams", "accounts", "identity", "tenancy", "presence"}
    await separate_stack.supervisor.stop("moto")
    found = checks_with_status(await run_doctor(separate_stack, tmp_path))
    assert found.keys() >= {"dynamodb", "jwks"}


async def test_doctor_reports_missing_keys_and_invalid_settings(stack, tmp_path):
    found = checks_with_status(await run_doctor(stack, tmp_path, ARTCAFE_KEYS_DIR=str(tmp_path)))
    assert "ARTCAFE_KEYS_DIR" in found["nats"]["remedy"]
    result = await Terminal(tmp_path).run("doctor", **{**stack.environ(), "ARTCAFE_PORT": "high"})
    assert result.code == 1
    assert result.err.startswith("artcafe: ARTCAFE_PORT is not valid")


async def test_doctor_looks_at_every_instance(new_stack, tmp_path):
    async with new_stack({"ARTCAFE_GATEWAY_WORKERS": "2"}) as stack:
        stack.supervisor.start(
            Program(
                name="second",
                command=[sys.executable, "-m", "artcafe_tenancy"],
                environ={
                    **stack.environ("tenancy"),
                    "ARTCAFE_SERVER_ID": "other",
                    "ARTCAFE_REVISION": "abc123",
                },
                log=stack.directory / "logs" / "second.log",
            )
        )

        async def report_of_both():
            report = await run_doctor(stack, tmp_path)
            details = [each["detail"] for each in report["checks"] if each["check"] == "tenancy"]
            return report if len(details) == 2 else None

        report = await eventually(report_of_both, within=30)
        details = [each["detail"] for each in report["checks"]]
        assert [each.split(":")[0] for each in details if "worker" in each and "answers" in each] == [
            "on dev-gateway worker 0",
            "on dev-gateway worker 1",
        ]
        assert "abc123" in checks_with_status(report, "warn")["versions"]["detail"]
