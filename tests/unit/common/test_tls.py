"""ARTCAFE_CA_FILE: which servers the connections of services trust."""

import asyncio
import contextlib
import ssl

import pytest

from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.redis_snapshot import save_snapshot
from artcafe_common.broker.connect import connect_once
from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.cli.doctor_certificates import check_certificates
from artcafe_common.settings import ServiceSettings, SettingsError, load
from artcafe_common.storage.redis_client import RedisClient
from artcafe_common.tls import create_tls
from support.certificates import create_certificate
from support.nats_server import running_nats_server
from support.tls_front import tls_front
from support.waiting import eventually


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return create_certificate(tmp_path_factory.mktemp("certificate"), "localhost", days=30)


@pytest.fixture
async def redis_url(new_stack, certificate):
    async with new_stack(servers=("redis",)) as stack:

        async def open_redis():
            return await asyncio.open_connection("127.0.0.1", stack.ports.redis)

        async def accepts():
            with contextlib.suppress(OSError):
                (await open_redis())[1].close()
                return True

        await eventually(accepts)
        async with tls_front(*certificate, open_redis) as port:
            yield f"rediss://localhost:{port}/0"


def test_setting_names_the_file(certificate):
    settings = load(ServiceSettings, {"ARTCAFE_CA_FILE": str(certificate[0])})
    assert settings.ca_file == certificate[0]
    assert load(ServiceSettings, {}).ca_file is None


def test_own_authority_is_trusted_besides_the_systems(certificate):
    assert create_tls(None) is None
    trusted = len(create_tls(certificate[0]).get_ca_certs())
    assert trusted == len(ssl.create_default_context().get_ca_certs()) + 1
    assert create_tls(certificate[0]) is create_tls(certificate[0])


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_file_without_certificates_is_an_invalid_setting(tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    for use in (create_tls, lambda path: RedisClient("redis://localhost", ca_file=path)):
        with pytest.raises(SettingsError, match=f"ARTCAFE_CA_FILE.*{path}"):
            use(path)


async def test_nats_server_is_verified(certificate):
    options = ("--tls", "--tlscert", str(certificate[0]), "--tlskey", str(certificate[1]))
    async with running_nats_server(*options) as server:
        url = f"tls://localhost:{server.port}"
        nc = await connect_once(url, ca_file=certificate[0])
        await nc.flush()
        await nc.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect_once(url)


async def test_redis_is_verified(redis_url, certificate, tmp_path):
    trusting, other = RedisClient(redis_url, ca_file=certificate[0]), RedisClient(redis_url)
    await trusting.check()
    with pytest.raises(StoreUnavailable):
        await other.check()
    await trusting.close()
    await other.close()

    await save_snapshot(redis_url, tmp_path / "snapshot", certificate[0])
    with pytest.raises(BackupFailed, match="CERTIFICATE_VERIFY_FAILED"):
        await save_snapshot(redis_url, tmp_path / "snapshot")

    statuses = [(await check_certificates([redis_url], ca))[0].status for ca in (certificate[0], None)]
    assert statuses == ["ok", "fail"]
