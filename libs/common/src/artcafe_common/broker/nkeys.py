"""NKeys, the Ed25519 keys of NATS.

The `nkeys` package encodes, decodes and signs, but cannot create a key; `create_key_pair` does.
Format: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth
"""

import base64
import binascii
import secrets
from enum import IntEnum
from functools import lru_cache

import nkeys
from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

SEED_LENGTH = 58
PUBLIC_KEY_LENGTH = 56
RAW_KEY_LENGTH = 32
MAX_DECODED_KEYS = 50_000


class KeyKind(IntEnum):
    """The prefix byte of each kind of key. Seeds begin with `SO`, `SA` or `SU`."""

    OPERATOR = nkeys.PREFIX_BYTE_OPERATOR
    ACCOUNT = nkeys.PREFIX_BYTE_ACCOUNT
    USER = nkeys.PREFIX_BYTE_USER
    SERVER = nkeys.PREFIX_BYTE_SERVER


class InvalidNKeyError(ValueError):
    """Not a well-formed NKey of the expected kind."""


class KeyPair:
    """A seed with its public key. Its representation does not contain the seed."""

    __slots__ = ("_pair", "public", "seed")

    def __init__(self, seed: str) -> None:
        try:
            self._pair = nkeys.from_seed(bytearray(seed.encode()))
            self.public: str = bytes(self._pair.public_key).decode().rstrip("=")
            prefix, raw = nkeys.decode_seed(bytearray(seed.encode()))
            # The package reads a seed's checksum, but does not verify it.
            intact = bytes(nkeys.encode_seed(bytes(raw), prefix)).decode() == seed
        except (nkeys.ErrInvalidSeed, nkeys.ErrInvalidPrefixByte, ValueError, IndexError) as error:
            raise InvalidNKeyError("not a valid NKey seed") from error
        if not intact:
            raise InvalidNKeyError("not a valid NKey seed")
        self.seed = seed

    def __repr__(self) -> str:
        return f"KeyPair({self.public})"

    def sign(self, data: bytes) -> bytes:
        """The 64-byte Ed25519 signature of `data`."""
        return bytes(self._pair.sign(data))


def create_key_pair(kind: KeyKind) -> KeyPair:
    """A new key pair from 32 bytes of the system's CSPRNG, verified by decoding its seed."""
    raw = secrets.token_bytes(32)
    seed = bytes(nkeys.encode_seed(raw, int(kind))).decode()
    prefix, decoded = nkeys.decode_seed(bytearray(seed.encode()))
    pair = KeyPair(seed)
    if len(seed) != SEED_LENGTH or prefix != kind or not secrets.compare_digest(bytes(decoded), raw):
        raise InvalidNKeyError("a new seed does not decode to its random bytes")
    decode_public(pair.public, kind)
    return pair


# The same clients log in again and again, and checking a point takes a third as long as verifying a signature.
@lru_cache(maxsize=MAX_DECODED_KEYS)
def decode_public(public: str, kind: KeyKind) -> bytes:
    """The 32 raw bytes of a public key. Raises InvalidNKeyError for a wrong length, checksum, kind or point."""
    if len(public) != PUBLIC_KEY_LENGTH:
        raise InvalidNKeyError(f"a public NKey has {PUBLIC_KEY_LENGTH} characters")
    try:
        raw = base64.b32decode(public)
    except (binascii.Error, ValueError) as error:
        raise InvalidNKeyError("a public NKey is base32") from error
    body, checksum = raw[:-2], int.from_bytes(raw[-2:], "little")
    if nkeys.crc16(bytearray(body)) != checksum or body[0] != kind:
        raise InvalidNKeyError("not a public NKey of this kind")
    if not is_valid_point(body[1:]):
        raise InvalidNKeyError("not a public key that only its seed can sign for")
    return body[1:]


def is_valid_point(raw: bytes) -> bool:
    """Whether 32 bytes are an Ed25519 public key as a private key produces it: canonical and of prime order.

    For a point of small order, one constant signature is valid for many or all messages.
    """
    return len(raw) == RAW_KEY_LENGTH and crypto_core_ed25519_is_valid_point(raw)


def verify(public: str, kind: KeyKind, data: bytes, signature: bytes) -> bool:
    """Whether `signature` is the signature of `data` by the key `public`; False for malformed input."""
    try:
        VerifyKey(decode_public(public, kind)).verify(data, signature)
    except (BadSignatureError, InvalidNKeyError, ValueError, TypeError):
        return False
    return True


def decode_signature(text: str) -> bytes:
    """The bytes of a signature in base64 or base64url, padded or not; empty for any other text.

    Most NATS clients encode signatures in base64url without padding, nats-py in base64.
    """
    try:
        return base64.b64decode(
            text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        return b""
