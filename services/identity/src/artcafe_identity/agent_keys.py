"""RSA and Ed25519 keys of agents: parsing (OpenSSH or PEM), generation and signature verification."""

import base64
import hashlib
import re

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

from artcafe_common.broker.nkeys import is_valid_point
from artcafe_common.contracts.identity.agents import AgentKey, AgentKeyType

MIN_RSA_BITS = 2048
# The client chooses the key, and a longer key makes signature verification slower.
MAX_RSA_BITS = 8192
MAX_EXPONENT_BITS = 32
NEW_RSA_BITS = 3072
_EXPONENT = 65537
_PEM = "-----BEGIN"
_OPENSSH_TYPES = ("ssh-ed25519", "ssh-rsa")
_SECURITY_KEY_PREFIX = "sk-"
# A key type and the first characters of its base64 blob, inside a comment.
_ANOTHER_KEY = re.compile(r"(?:^|\s)[a-z0-9@.-]*(?:ssh|ecdsa)-\S+\s+AAAA")
PublicKey = RSAPublicKey | Ed25519PublicKey


class InvalidAgentKeyError(ValueError):
    """The text is not a public key that an agent may use; the message contains nothing of the key."""


def load(text: str) -> PublicKey:
    """Parse one public key in OpenSSH or PEM form. Raises InvalidAgentKeyError."""
    text = text.strip()
    try:
        if text.startswith(_PEM):
            key = load_pem_public_key(_single_block(text).encode("ascii"))
        else:
            key = load_ssh_public_key(_without_comment(text).encode("ascii"))
    except InvalidAgentKeyError:
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidAgentKeyError("Not a public key in OpenSSH or PEM form") from None
    if isinstance(key, Ed25519PublicKey):
        # Of other points, one constant signature is valid for many challenges.
        if not is_valid_point(key.public_bytes_raw()):
            raise InvalidAgentKeyError("Not an Ed25519 key that a private key belongs to")
        return key
    if not isinstance(key, RSAPublicKey):
        raise InvalidAgentKeyError("Neither an RSA nor an Ed25519 key")
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise InvalidAgentKeyError(f"An RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    numbers = key.public_numbers()
    if numbers.e.bit_length() > MAX_EXPONENT_BITS:
        raise InvalidAgentKeyError("The RSA key's exponent is too large")
    if numbers.e % 2 == 0 or numbers.n % 2 == 0:
        raise InvalidAgentKeyError("The RSA key's modulus or exponent is even")
    return key


def _single_block(pem: str) -> str:
    if pem.count(_PEM) > 1:
        raise InvalidAgentKeyError("More than one key: give one")
    if "PRIVATE KEY" in pem.partition("\n")[0]:
        raise InvalidAgentKeyError("A private key: give the public key")
    return pem


def _without_comment(line: str) -> str:
    """The type and the blob of one OpenSSH key; its comment may be any text."""
    if "\n" in line or "\r" in line:
        raise InvalidAgentKeyError("More than one line: give one key")
    kind, *rest = line.split(maxsplit=2)
    if kind.startswith(_SECURITY_KEY_PREFIX):
        raise InvalidAgentKeyError("A security key (sk-…) cannot sign challenges: give an Ed25519 or RSA key")
    if kind not in _OPENSSH_TYPES or not rest:
        raise InvalidAgentKeyError("Neither an RSA nor an Ed25519 key in OpenSSH or PEM form")
    if len(rest) > 1 and _ANOTHER_KEY.search(rest[1]):
        raise InvalidAgentKeyError("More than one key: give one")
    return f"{kind} {rest[0]}"


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
