"""install.sh on an empty host, and what it leaves there."""

import re

import pytest

from support.ec2_host import SERVICES, UNITS

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]
MAX_EXPOSURE = 25


def test_install_on_an_empty_host(host):
    assert "artcafe@identity.service" in host.installed
    assert host.states() == ["active"] * len(UNITS)
    status = host.read("systemctl show -P StatusText artcafe@identity.service")
    assert status.startswith("ready, version ")
    assert status.endswith(f", revision {host.revision}")


def test_installing_again_changes_nothing(host):
    started = host.read(f"systemctl show -P ActiveEnterTimestampMonotonic {' '.join(UNITS)}")
    output = host.install()
    assert "changed" not in output
    assert output.strip().endswith(f"revision {host.revision} is installed; nothing to change")
    assert host.read(f"systemctl show -P ActiveEnterTimestampMonotonic {' '.join(UNITS)}") == started


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.startswith(("artcafe", "nats"))])
def test_units_are_hardened(host, unit):
    result = host.run(f"systemd-analyze security --threshold={MAX_EXPOSURE} --no-pager {unit}", check=False)
    assert result.returncode == 0, result.stdout[-400:]
    assert host.read(f"systemctl show -P User {unit}") == ("nats" if unit.startswith("nats") else "ubuntu")


def test_each_service_sees_its_own_keys_alone(host):
    for service in SERVICES:
        pid = host.read(f"systemctl show -P MainPID artcafe@{service}.service")
        files = host.read(f"ls /proc/{pid}/root/run/credentials/artcafe@{service}.service").split()
        assert f"{service}.creds" in files
        assert ("operator.nk" in files) == (service == "identity")
    denied = host.run("sudo -u ubuntu ls /etc/artcafe/keys", check=False)
    assert denied.returncode != 0


def test_operators_scripts(host, story):
    deploy = "/opt/artcafe/artcafe-pubsub/deploy/ec2"
    status = host.read(f"{deploy}/status.sh")
    assert f"revision   {host.revision}" in status
    assert len(re.findall(r" active ", status)) == len(UNITS)
    assert "connections" in host.read(f"{deploy}/connections.sh")
    assert story["tenant_id"] not in host.read(f"{deploy}/connections.sh")
    assert '"event": "ready"' in host.read(f"{deploy}/logs.sh gateway -- --lines=500")
    assert "fail" not in re.findall(r"^\w+", host.read("artcafe upgrade --check"), re.MULTILINE)
