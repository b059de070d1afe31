"""What the first start of compose.yaml makes, and what later starts keep."""

import ssl
import stat

import pytest

from artcafe_common.health_check import PORTS
from artcafe_common.installation import release_marker
from artcafe_common.installation.container_setup import (
    KEY_FILES,
    create_certificate,
    create_keys,
    distribute_keys,
)
from artcafe_common.installation.release_marker import MARKER_FILE
from artcafe_common.settings import list_variables
from artcafe_identity.settings import Settings as IdentitySettings
from artcafe_metering.settings import Settings as MeteringSettings
from artcafe_presence.settings import Settings as PresenceSettings
from artcafe_tenancy.settings import Settings as TenancySettings


@pytest.fixture
def keys(tmp_path):
    create_keys(tmp_path / "keys")
    return tmp_path / "keys"


def contents(directory):
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_later_start_changes_no_key(keys):
    before = contents(keys)
    create_keys(keys)
    assert contents(keys) == before


def test_release_with_other_permissions_renews_the_credentials(keys, monkeypatch):
    before = contents(keys)
    monkeypatch.setattr(release_marker, "permissions_fingerprint", lambda: "of another release")
    create_keys(keys)
    after = contents(keys)
    changed = {name for name, text in after.items() if before[name] != text}
    assert {MARKER_FILE, "nats-server.conf", "gateway.creds"} <= changed
    assert not changed & {"operator.nk", "callout.nk", "sealing.key", "cursor.key", "platform.json"}


def test_each_container_gets_its_files_only(keys, tmp_path):
    distribute_keys(keys, tmp_path / "volumes")
    for name, files in KEY_FILES.items():
        volume = tmp_path / "volumes" / name
        assert {path.name for path in volume.iterdir()} == set(files)
        assert stat.S_IMODE(volume.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in volume.iterdir()} == {0o600}
    distributed = {name for files in KEY_FILES.values() for name in files}
    # The reserve of the operator's key is no service's.
    kept = {"accounts.json", "operator-reserve.nk", MARKER_FILE}
    assert {path.name for path in keys.iterdir()} - distributed == kept


def test_certificate_is_made_once_and_names_the_hosts(tmp_path):
    create_certificate(tmp_path, "example.org")
    before = contents(tmp_path)
    create_certificate(tmp_path, "example.org")
    assert contents(tmp_path) == before
    context = ssl.create_default_context(cafile=tmp_path / "fullchain.pem")
    (certificate,) = context.get_ca_certs()
    names = {value for kind, value in certificate["subjectAltName"] if kind == "DNS"}
    assert names == {"localhost", "api.example.org", "ws.example.org", "nats.example.org"}
    assert stat.S_IMODE((tmp_path / "privkey.pem").stat().st_mode) == 0o600


def test_health_check_knows_the_port_of_each_service():
    settings = {
        "identity": IdentitySettings,
        "tenancy": TenancySettings,
        "presence": PresenceSettings,
        "metering": MeteringSettings,
    }
    defaults = {
        name: row.default
        for name, each in settings.items()
        for row in list_variables(each)
        if row.env == "ARTCAFE_METRICS_PORT"
    }
    assert defaults == PORTS
