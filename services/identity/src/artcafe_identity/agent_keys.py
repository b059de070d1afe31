"""RSA and Ed25519 keys of agents: parsing (OpenSSH or PEM), generation and signature verification."""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
    load_ssh_public_key,
)

from artcafe_common.contracts.identity.agents import AgentKey, AgentKeyType

MIN_RSA_BITS = 2048
# The client chooses the key, and a longer key makes signature verification slower.
MAX_RSA_BITS = 8192
MAX_EXPONENT_BITS = 32
NEW_RSA_BITS = 3072
_EXPONENT = 65537
_PEM = "-----BEGIN"
PublicKey = RSAPublicKey | Ed25519PublicKey


class InvalidAgentKeyError(ValueError):
    """The text is not a public key that an agent may use; the message contains nothing of the key."""


def load(text: str) -> PublicKey:
    """Parse a public key in OpenSSH or PEM form. Raises InvalidAgentKeyError."""
    text = text.strip()
    try:
        raw = text.encode("ascii")
        key = load_pem_public_key(raw) if text.startswith(_PEM) else load_ssh_public_key(raw)
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidAgentKeyError("Not a public key in OpenSSH or PEM form") from None
    if isinstance(key, Ed25519PublicKey):
        return key
    if not isinstance(key, RSAPublicKey):
        raise InvalidAgentKeyError("Neither an RSA nor an Ed25519 key")
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise InvalidAgentKeyError(f"An RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    if key.public_numbers().e.bit_length() > MAX_EXPONENT_BITS:
        raise InvalidAgentKeyError("The RSA key's exponent is too large")
    return key


def describe(key: PublicKey) -> AgentKey:
    """The key in OpenSSH form with its type and SHA-256 fingerprint."""
    text = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    digest = hashlib.sha256(base64.b64decode(text.split()[1])).digest()
    return AgentKey(
        public_key=text,
        key_type=AgentKeyType.RSA if isinstance(key, RSAPublicKey) else AgentKeyType.ED25519,
        fingerprint=f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}",
    )


def generate(kind: AgentKeyType) -> tuple[AgentKey, str]:
    """A new public key and its private key in PEM form. Generating RSA blocks: run it in a thread."""
    private: RSAPrivateKey | Ed25519PrivateKey
    if kind is AgentKeyType.RSA:
        private = generate_private_key(_EXPONENT, NEW_RSA_BITS)
    else:
        private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return describe(private.public_key()), pem


def verify(key: PublicKey, data: bytes, signature: bytes) -> bool:
    """Whether `signature` is valid for `data`: RSASSA-PKCS1-v1_5 with SHA-256, or Ed25519."""
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), SHA256())
        else:
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
