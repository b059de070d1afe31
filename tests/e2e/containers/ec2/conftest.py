"""One EC2 host with an installation, which the tests of this directory share; each file can run alone."""

from pathlib import Path

import pytest

from support.container_clients import call
from support.docker import has_image, missing_engine
from support.ec2_host import API_HOST, IMAGE, MOTO_IMAGE, NATS_HOST, WS_HOST, Ec2Host
from support.packages import create_environment


@pytest.fixture(scope="session")
async def host():
    """A host on which install.sh has run."""
    if reason := missing_engine():
        pytest.skip(reason)
    if missing := [image for image in (IMAGE, MOTO_IMAGE) if not has_image(image)]:
        pytest.skip(f"needs the images {', '.join(missing)}")
    host = Ec2Host()
    try:
        host.create()
        host.installed = host.install(
            f"--api-host {API_HOST} --ws-host {WS_HOST} --nats-host 0.0.0.0 --nats-tls {NATS_HOST} "
            "--create-tables",
            revision="first",
        )
        await host.wait_until_healthy()
        yield host
    finally:
        host.remove()


@pytest.fixture(scope="session")
def aws_cli(tmp_path_factory):
    """A directory with the AWS command line, and with what checks its templates."""
    return Path(create_environment(tmp_path_factory.mktemp("aws"), "awscli", "cfn-lint")).parent


@pytest.fixture(scope="session")
async def story(host):
    """An organization with two clients and a channel."""
    async with host.sign_in() as http:
        account = await call(http, "POST", "/accounts", 201, json={"name": "Acme"})
        http.headers["X-Tenant-Id"] = account["account_id"]
        clients = [
            await call(http, "POST", "/clients", 201, json={"name": name}) for name in ("alice", "bob")
        ]
        channel = await call(http, "POST", "/channels", 201, json={"name": "general"})
    return {
        "tenant_id": account["account_id"],
        "channel_id": channel["channel_id"],
        "clients": clients,
    }
