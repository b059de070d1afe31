"""Encryption at rest of account seeds: AES-256-GCM, bound to the tenant and the public key."""

import base64
import os
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from artcafe_common.key_ring import KeyRing

_NONCE_BYTES = 12


class DecryptionFailed(Exception):
    """The ciphertext was changed, belongs to another tenant or key, or was encrypted with another key."""


class SeedCipher:
    """Encrypts and decrypts seeds with the installation's 32-byte keys."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def encrypt(self, seed: str, *, tenant_id: str, public: str) -> str:
        """The nonce and the ciphertext, in base64."""
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = AESGCM(self._keys.current).encrypt(
            nonce, seed.encode(), _associated_data(tenant_id, public)
        )
        return base64.b64encode(nonce + ciphertext).decode()

    def decrypt(self, encrypted: str, *, tenant_id: str, public: str) -> str:
        """The seed. Raises DecryptionFailed unless it was encrypted for this tenant and public key."""
        for key in self._keys.accepted:
            with suppress(InvalidTag):
                return _decrypt(key, encrypted, tenant_id, public)
        raise DecryptionFailed

    def is_current(self, encrypted: str, *, tenant_id: str, public: str) -> bool:
        """Whether a seed is encrypted with the key that is used now."""
        try:
            _decrypt(self._keys.current, encrypted, tenant_id, public)
        except InvalidTag:
            return False
        return True


def _decrypt(key: bytes, encrypted: str, tenant_id: str, public: str) -> str:
    raw = base64.b64decode(encrypted)
    nonce, ciphertext = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
    return AESGCM(key).decrypt(nonce, ciphertext, _associated_data(tenant_id, public)).decode()


def _associated_data(tenant_id: str, public: str) -> bytes:
    return f"{tenant_id}|{public}".encode()
