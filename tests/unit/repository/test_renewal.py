"""`artcafe bootstrap --renew` gives an existing installation the permissions and accounts of this release."""

import json
import subprocess
import sys

import nats
import pytest
from nats.aio.client import RawCredentials

from artcafe_common.broker.claims import AccountClaims, Permission, ResponsePermission, UserClaims
from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.bus.client import inbox_prefix
from artcafe_common.installation import bootstrap as bootstrap_module
from artcafe_common.installation.operator_keys import trusted_keys
from artcafe_common.installation.permissions import SERVICES
from artcafe_common.installation.platform_keys import load_platform_keys
from support.waiting import eventually

BROAD = UserClaims(pub=Permission(allow=[">"]), sub=Permission(allow=[">"]), resp=ResponsePermission())


EARLIER_ACCOUNT = AccountClaims(limits=bootstrap_module.platform_account().limits)


class Probe:
    """A connection with a service's credentials, and the errors that the broker sent it."""

    def __init__(self, nc, errors):
        self.nc = nc
        self.errors = errors

    @classmethod
    async def connect(cls, url, credentials, service):
        errors = []

        async def record(error):
            errors.append(str(error))

        async def attempt():
            try:
                return await nats.connect(
                    url,
                    user_credentials=RawCredentials(credentials),
                    allow_reconnect=False,
                    error_cb=record,
                    inbox_prefix=inbox_prefix(service),
                )
            except OSError:
                return None

        return cls(await eventually(attempt), errors)

    async def publish(self, subject):
        self.errors.clear()
        await self.nc.publish(subject, b"{}")
        await self.nc.flush()

    async def assert_denied(self, subject):
        await self.publish(subject)
        await eventually(lambda: any("permissions violation" in error.lower() for error in self.errors))


@pytest.fixture
async def stack(new_stack, monkeypatch):
    """An installation of an earlier release, whose services had more rights, and whose accounts exported nothing."""
    monkeypatch.setattr(bootstrap_module, "service_permissions", lambda _service: BROAD)
    monkeypatch.setattr(bootstrap_module, "platform_account", lambda: EARLIER_ACCOUNT)
    async with new_stack(servers=("nats",)) as stack:
        for name in ("answers.key", "operator-reserve.nk"):
            (stack.directory / "keys" / name).unlink()
        yield stack


def renew(keys):
    command = [sys.executable, "-m", "artcafe_common.cli", "bootstrap", str(keys), "--renew"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


async def test_renewed_installation_has_the_permissions_and_accounts_of_this_release(stack):
    keys, url = stack.directory / "keys", stack.environ()["NATS_URL"]
    before = {path.name: path.read_text() for path in keys.iterdir()}
    probe = await Probe.connect(url, before["metering.creds"], "metering")
    await probe.publish("artcafe.events.client.created")
    assert probe.errors == []
    for _ in range(2):
        result = renew(keys)
        assert result.returncode == 0, result.stderr
    after = {path.name: path.read_text() for path in keys.iterdir()}
    # No key changed, and the missing secret exists again.
    kept = {"operator.nk", "callout.nk", "platform.json", "sealing.key", "agent-token.key", "cursor.key"}
    assert {name for name in before if before[name] == after[name]} == kept
    assert len(after["answers.key"]) == 64
    reserve = KeyPair(after["operator-reserve.nk"]).public
    assert reserve in trusted_keys(json.loads(after["accounts.json"])["operator"])
    assert json.loads(after["accounts.json"])["operator"] in after["nats-server.conf"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys.iterdir())
    await stack.supervisor.stop("nats")
    stack.start("nats")
    for service in SERVICES:
        probe = await Probe.connect(url, after[f"{service}.creds"], service)
        await probe.assert_denied("artcafe.events.nothing.happened")
        # Of all credentials, only those of backups replace the stream, when it is restored.
        if service != "backup":
            await probe.assert_denied("$JS.API.STREAM.DELETE.EVENTS")
    # Credentials that other hosts still have stay valid.
    await Probe.connect(url, before["gateway.creds"], "gateway")
    system = await Probe.connect(url, after["identity-system.creds"], "identity")
    platform = load_platform_keys(keys).platform_account
    reply = await system.nc.request(f"$SYS.REQ.ACCOUNT.{platform}.CLAIMS.LOOKUP", b"", timeout=2)
    assert reply.data.decode() == json.loads(after["accounts.json"])["preload"][platform]
    assert after["accounts.json"] != before["accounts.json"]
    callout = await Probe.connect(url, after["identity-callout.creds"], "identity")
    await callout.nc.subscribe("$SYS.REQ.USER.AUTH")
    await callout.nc.flush()
    assert callout.errors == []


def test_directory_without_an_installation_is_an_error(tmp_path):
    result = renew(tmp_path)
    assert result.returncode == 1
    assert "platform.json" in result.stderr
    assert "Traceback" not in result.stderr
