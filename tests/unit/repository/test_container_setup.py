"""What the first start of compose.yaml makes, and what later starts keep."""

import ssl
import stat

import pytest
from cryptography import x509

from artcafe_common.health_check import PORTS
from artcafe_common.installation import release_marker
from artcafe_common.installation.container_setup import (
    CERTIFICATES,
    KEY_FILES,
    NATS,
    configure_servers,
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
    create_keys(tmp_path / "keys", [NATS])
    return tmp_path / "keys"


def contents(directory):
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_later_start_changes_no_key(keys):
    before = contents(keys)
    create_keys(keys, [NATS])
    assert contents(keys) == before


def test_release_with_other_permissions_renews_the_credentials(keys, monkeypatch):
    before = contents(keys)
    monkeypatch.setattr(release_marker, "permissions_fingerprint", lambda: "of another release")
    create_keys(keys, [NATS])
    after = contents(keys)
    changed = {name for name, text in after.items() if before[name] != text}
    assert {MARKER_FILE, "nats-server.conf", "gateway.creds"} <= changed
    assert not changed & {"operator.nk", "callout.nk", "sealing.key", "cursor.key", "platform.json"}


def test_each_container_gets_its_files_only(keys, tmp_path):
    distribute_keys(keys, tmp_path / "volumes", [NATS])
    expected = {**KEY_FILES, "nats": ("nats-server.conf",)}
    for name, files in expected.items():
        volume = tmp_path / "volumes" / name
        assert {path.name for path in volume.iterdir()} == set(files)
        assert stat.S_IMODE(volume.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in volume.iterdir()} == {0o600}
    distributed = {name for files in expected.values() for name in files}
    # The reserve of the operator's key is no service's.
    kept = {"accounts.json", "operator-reserve.nk", MARKER_FILE}
    assert {path.name for path in keys.iterdir()} - distributed == kept


def test_nodes_of_a_cluster_get_configurations_and_certificates(tmp_path):
    keys, volumes = tmp_path / "keys", tmp_path / "volumes"
    keys.mkdir()
    for _ in range(2):
        servers = configure_servers(
            keys, "nats=nats:6222,nats-2=nats-2:6222,nats-3=nats-3:6222", "example.org"
        )
        create_keys(keys, servers)
        distribute_keys(keys, volumes, servers)
    nodes = ("nats", "nats-2", "nats-3")
    assert {path.name for path in (volumes / "nats").iterdir()} == {
        "ca.pem",
        *(name for node in nodes for name in (f"nats-server-{node}.conf", f"{node}.pem", f"{node}-key.pem")),
    }
    context = ssl.create_default_context(cafile=keys / CERTIFICATES / "ca.pem")
    context.load_cert_chain(volumes / "nats/nats-2.pem", volumes / "nats/nats-2-key.pem")
    certificate = x509.load_pem_x509_certificate((volumes / "nats/nats-2.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["nats-2", "localhost", "nats.example.org"]


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
