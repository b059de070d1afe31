"""An authority of one's own for the certificates of a cluster's nodes: for development, and for networks without one."""

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from artcafe_common.installation.cluster import CA_FILE, Node
from artcafe_common.installation.private_files import write_private

CA_KEY_FILE = "ca-key.pem"
CA_VALIDITY, NODE_VALIDITY = timedelta(days=3650), timedelta(days=825)
# Clocks of hosts differ.
_BEFORE = timedelta(hours=1)


def create_certificates(directory: Path, nodes: list[Node], *, names: Iterable[str] = ()) -> list[Path]:
    """Write `ca.pem`, and `NAME.pem` with `NAME-key.pem` of each node; returns the nodes' certificates.

    They are valid for the node's host, and for the other `names`.

    An authority that is there already signs the nodes' new certificates.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (directory / CA_KEY_FILE).exists():
        _create_authority(directory)
    authority = x509.load_pem_x509_certificate((directory / CA_FILE).read_bytes())
    authority_key = serialization.load_pem_private_key((directory / CA_KEY_FILE).read_bytes(), password=None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{CA_KEY_FILE} is not a key of an elliptic curve")
    written = []
    for node in nodes:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(node.name, authority.subject, key, NODE_VALIDITY)
            .add_extension(
                x509.SubjectAlternativeName([_alternative_name(host) for host in (node.host, *names)]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            # A node is also a client of the others.
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        path = directory / f"{node.name}.pem"
        write_private(path, _to_pem(certificate))
        write_private(directory / f"{node.name}-key.pem", _key_to_pem(key))
        written.append(path)
    return written


def _create_authority(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ArtCafe PubSub")])
    certificate = (
        _builder("ArtCafe PubSub", name, key, CA_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                key_cert_sign=True,
                crl_sign=True,
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(directory / CA_FILE, _to_pem(certificate))
    # Written last: with it, the authority is complete.
    write_private(directory / CA_KEY_FILE, _key_to_pem(key))


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, validity: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + validity)
    )


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


def _to_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_to_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
