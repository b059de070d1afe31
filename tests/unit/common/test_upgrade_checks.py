"""`artcafe upgrade --check`: what the next start depends on."""

import asyncio
import base64
import json
import time
from collections import Counter

import pytest

from artcafe_common.broker.claims import Credentials
from artcafe_common.cli import upgrade_checks
from artcafe_common.cli.upgrade_checks import (
    check_broker,
    check_disks,
    check_keys,
    check_permissions,
    check_settings,
)
from artcafe_common.installation import secret_rotation
from artcafe_common.installation.bootstrap import bootstrap
from artcafe_common.installation.nats_server import NatsServerConfig

GIVEN = {"ARTCAFE_OIDC_ISSUER": "https://issuer", "ARTCAFE_OIDC_CLIENT_ID": "app"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    bootstrap(directory, NatsServerConfig())
    return directory


@pytest.fixture
def keys(installed, tmp_path):
    for path in installed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def statuses(results):
    return Counter(result.status for result in results)


def test_a_fresh_installation_passes(keys, tmp_path):
    assert statuses(check_settings(tmp_path, GIVEN)) == {"ok": 5}
    assert statuses(check_keys(keys)) == {"ok": 1}
    assert statuses(check_permissions(keys)) == {"ok": 1}


def test_settings_of_one_service_alone_count_too(tmp_path):
    assert statuses(check_settings(tmp_path, {})) == {"ok": 4, "fail": 1}
    (tmp_path / "identity.env").write_text(
        "# own\nARTCAFE_OIDC_ISSUER=https://issuer\nARTCAFE_OIDC_CLIENT_ID='app'\n"
    )
    assert statuses(check_settings(tmp_path, {})) == {"ok": 5}


def test_an_invalid_setting_is_named(tmp_path):
    results = list(check_settings(tmp_path, {**GIVEN, "ARTCAFE_PORT": "http"}))
    assert [result.detail for result in results if result.status == "fail"] == [
        "gateway: ARTCAFE_PORT is not valid: Expected `int`, got `str`"
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [("sealing.key", "short"), ("gateway.creds", "nothing"), ("operator.nk", ""), ("answers.key", "")],
)
def test_a_damaged_key_is_named(keys, name, text):
    (keys / name).write_text(text)
    results = list(check_keys(keys))
    assert [result.status for result in results] == ["fail"]
    assert name in results[0].detail


def test_keys_that_were_replaced_pass(keys):
    for secret in secret_rotation.Secret:
        secret_rotation.begin(keys, secret, start_in_s=60, overlap_s=None)
    assert statuses(check_keys(keys)) == {"ok": 1}


def test_keys_that_cannot_be_read_fail(tmp_path):
    assert statuses(check_keys(tmp_path / "missing")) == {"fail": 1}
    assert statuses(check_keys(tmp_path)) == {"fail": 1}


def credentials_that_expire_in(seconds):
    parts = ({"alg": "ed25519-nkey"}, {"exp": int(time.time() + seconds), "nats": {}})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return Credentials(jwt=".".join([*encoded, "signature"]), seed="SU").render()


@pytest.mark.parametrize(("days", "status"), [(-1, "fail"), (10, "warn"), (100, "ok")])
def test_credentials_that_expire_are_named(keys, days, status):
    (keys / "gateway.creds").write_text(credentials_that_expire_in(days * 86400))
    results = list(check_keys(keys))
    assert [result.status for result in results] == [status]
    if status != "ok":
        assert "gateway.creds" in results[0].detail


def test_credentials_of_an_earlier_release_need_to_be_renewed(keys):
    (keys / "tenancy.creds").write_text((keys / "presence.creds").read_text())
    results = list(check_permissions(keys))
    assert [result.status for result in results] == ["fail", "warn"]
    assert all("tenancy: " in result.detail for result in results)
    assert "--renew" in results[0].remedy


def test_a_host_with_some_of_the_keys_passes(keys):
    for name in ("identity.creds", "identity-system.creds", "admin.creds"):
        (keys / name).unlink()
    assert statuses(check_permissions(keys)) == {"ok": 1}


def test_a_full_disk_fails(tmp_path, monkeypatch):
    assert statuses(check_disks((tmp_path, tmp_path / "absent"))) == {"ok": 1}
    monkeypatch.setattr(upgrade_checks, "MIN_FREE_BYTES", 2**63)
    assert statuses(check_disks((tmp_path,))) == {"fail": 1}


@pytest.mark.parametrize(("version", "status"), [("2.15.1", "ok"), ("2.16.0", "ok"), ("2.10.4", "fail")])
async def test_an_older_broker_fails(version, status):
    async def greet(_reader, writer):
        writer.write(b'INFO {"version":"%s"}\r\n' % version.encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert statuses(await check_broker(f"nats://127.0.0.1:{port}")) == {status: 1}
    assert statuses(await check_broker(f"nats://127.0.0.1:{port}")) == {"fail": 1}
