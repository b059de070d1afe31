"""Backups of a host."""

import pyrage
import pytest

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]


def test_host_is_backed_up_every_hour_once_it_has_a_recipient(host):
    assert host.read("systemctl is-enabled artcafe-backup.timer || true") == "disabled"
    recipient = pyrage.x25519.Identity.generate().to_public()
    host.run(f"echo ARTCAFE_BACKUP_RECIPIENT={recipient} >>/etc/artcafe/artcafe.env")
    output = host.install()
    assert "artcafe-backup.timer is enabled" in output
    assert host.read("systemctl is-active artcafe-backup.timer") == "active"
    host.run("systemctl start artcafe-backup.service")
    checked = host.read("artcafe restore latest --check")
    assert all(part in checked for part in ("redis", "keys", "streams"))
