"""Prepares the volumes of compose.yaml: keys, certificate, tables, and the user pool of an emulated AWS.

Run before the servers and services, at each start. It creates what is missing, and changes nothing else; the
credentials are renewed when a release has other permissions.
"""

import asyncio
import datetime as dt
import ipaddress
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from artcafe_common.bus.errors import CommandError, StoreUnavailable
from artcafe_common.installation.bootstrap import bootstrap
from artcafe_common.installation.certificates import create_certificates
from artcafe_common.installation.cluster import CA_FILE, ClusterError, configure_nodes, parse_cluster
from artcafe_common.installation.nats_server import NatsServerConfig, NatsTls, write_server_configuration
from artcafe_common.installation.platform_keys import FILE_NAME
from artcafe_common.installation.private_files import replace_private, write_private
from artcafe_common.installation.release_marker import mark_release, renew_if_outdated
from artcafe_common.installation.user_pool import UserPool, ensure_user_pool
from artcafe_common.settings import SettingsError, StoreSettings, load
from artcafe_common.storage.create import create_tables

CERTIFICATE_VALID_DAYS = 825
AWS_WITHIN_S = 120.0
# What ARTCAFE_CA_FILE of the services names.
TRUSTED_FILE = "trusted.pem"
# In the keys directory.
CERTIFICATES = "certificates"
# The files of the keys directory that each container but those of nats needs, as docs/operate/install.md lists them.
KEY_FILES: Mapping[str, tuple[str, ...]] = {
    "gateway": ("gateway.creds", "answers.key", "cursor.key"),
    "identity": (
        *("identity.creds", "identity-system.creds", "identity-callout.creds"),
        *("operator.nk", "callout.nk", "sealing.key", "agent-token.key", "platform.json"),
    ),
    "tenancy": ("tenancy.creds", "cursor.key"),
    "presence": ("presence.creds", "presence-system.creds"),
    "metering": ("metering.creds", "metering-system.creds"),
    "admin": ("admin.creds", "backup.creds", "platform.json"),
}
_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
# Of the container `nats`.
NATS = NatsServerConfig(
    host="0.0.0.0",
    port=4222,
    websocket_port=8443,
    store=Path("/data"),
    tls=NatsTls(certificate=Path("/run/artcafe/tls/fullchain.pem"), key=Path("/run/artcafe/tls/privkey.pem")),
)


def configure_servers(keys: Path, cluster: str, domain: str) -> list[NatsServerConfig]:
    """The configuration of the container `nats`, or of those that `cluster` describes, with certificates for them.

    Raises ClusterError.
    """
    if not cluster:
        return [NATS]
    nodes, certificates = parse_cluster(cluster), keys / CERTIFICATES
    if missing := [node for node in nodes if not (certificates / f"{node.name}.pem").exists()]:
        create_certificates(certificates, missing, names=("localhost", f"nats.{domain}", "127.0.0.1"))
    base = msgspec.structs.replace(NATS, tls=None)
    return [
        # A directory for each: the nodes are containers with volumes of their own.
        msgspec.structs.replace(config, store=NATS.store)
        for config in configure_nodes(nodes, base, host=NATS.host, certificates=Path("/run/artcafe/keys"))
    ]


def create_keys(directory: Path, servers: list[NatsServerConfig]) -> None:
    """Create the keys of a new installation; bring those of an existing one to this release."""
    if not (directory / FILE_NAME).exists():
        bootstrap(directory, servers[0])
        mark_release(directory)
    else:
        renew_if_outdated(directory)
    for server in servers:
        write_server_configuration(directory, server)


def distribute_keys(keys: Path, volumes: Path, servers: list[NatsServerConfig]) -> None:
    """Copy to each container's volume the files that it needs."""
    of_servers = [server.file for server in servers]
    if servers[0].cluster is not None:
        for server in servers:
            of_servers += [f"{CERTIFICATES}/{server.server_name}{end}.pem" for end in ("", "-key")]
        of_servers.append(f"{CERTIFICATES}/{CA_FILE}")
    for name, files in {"nats": of_servers, **KEY_FILES}.items():
        volume = volumes / name
        volume.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in files:
            # Services that run read them again.
            replace_private(volume / Path(file).name, (keys / file).read_text())


def distribute_certificate(tls: Path, keys: Path, volumes: Path) -> None:
    """Give each container that connects to nats what it trusts besides the system's authorities.

    nginx finds the authority of a cluster's nodes beside its own certificate.
    """
    authority = keys / CERTIFICATES / CA_FILE
    trusted = [path.read_text() for path in (tls / "fullchain.pem", authority) if path.exists()]
    for name in KEY_FILES:
        replace_private(volumes / name / TRUSTED_FILE, "\n".join(trusted))
    if authority.exists():
        replace_private(tls / f"nats-{CA_FILE}", authority.read_text())


def create_certificate(directory: Path, domain: str) -> None:
    """Create a self-signed certificate for nginx, unless the directory has one."""
    certificate, key_file = directory / "fullchain.pem", directory / "privkey.pem"
    if certificate.exists() and key_file.exists():
        return
    hosts = dict.fromkeys(("localhost", *(f"{name}.{domain}" for name in ("api", "ws", "nats"))))
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ArtCafe PubSub at {domain}"[:64])])
    now = dt.datetime.now(dt.UTC)
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=CERTIFICATE_VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([*map(x509.DNSName, hosts), *addresses]),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    write_private(
        key_file, key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_password).decode()
    )
    write_private(certificate, built.public_bytes(encoding).decode())


async def provision_aws(volumes: Path, environ: Mapping[str, str]) -> None:
    """Create the missing tables; write for identity and the operator which user pool signs its users' tokens."""
    settings = load(StoreSettings, environ)
    async with asyncio.timeout(AWS_WITHIN_S):
        created = await _create_tables(settings, environ)
        print(f"created {len(created)} tables")  # noqa: T201 - the log of this container
        issuer = environ.get("ARTCAFE_OIDC_ISSUER", "")
        if issuer:
            pool = UserPool(
                issuer=issuer,
                client_id=environ.get("ARTCAFE_OIDC_CLIENT_ID", ""),
                jwks_url=environ.get("ARTCAFE_OIDC_JWKS_URL", ""),
            )
        elif endpoint := environ.get("AWS_ENDPOINT_URL", ""):
            pool = await ensure_user_pool(endpoint, settings.aws_region)
        else:
            raise SettingsError("ARTCAFE_OIDC_ISSUER is required: the URL of the Cognito user pool")
    for field, value in msgspec.structs.asdict(pool).items():
        for reader in ("identity", "admin"):
            write_private(volumes / reader / f"oidc-{field.replace('_', '-')}", value)


async def _create_tables(settings: StoreSettings, environ: Mapping[str, str]) -> list[str]:
    while True:
        try:
            return await create_tables(
                region=settings.aws_region, prefix=settings.table_prefix, environ=environ
            )
        except StoreUnavailable as error:
            print(f"waiting for DynamoDB: {error.detail}", flush=True)  # noqa: T201 - as above
            await asyncio.sleep(1)


def main() -> None:
    """Prepare the volumes below the directory that ARTCAFE_VOLUMES names."""
    root = Path(os.environ.get("ARTCAFE_VOLUMES", "/var/lib/artcafe"))
    os.umask(0o077)
    try:
        keys, tls, volumes = root / "keys", root / "tls", root / "services"
        domain = os.environ.get("ARTCAFE_DOMAIN", "localhost")
        servers = configure_servers(keys, os.environ.get("ARTCAFE_CLUSTER", ""), domain)
        create_keys(keys, servers)
        distribute_keys(keys, volumes, servers)
        create_certificate(tls, domain)
        distribute_certificate(tls, keys, volumes)
        asyncio.run(provision_aws(volumes, os.environ))
    except (SettingsError, ClusterError, CommandError, OSError, TimeoutError) as error:
        sys.exit(f"setup: {error or 'AWS did not answer in time'}")


if __name__ == "__main__":
    main()
