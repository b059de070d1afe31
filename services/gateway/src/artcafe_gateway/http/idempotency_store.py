"""Stores responses in Redis for 24 hours, so that a repeated `Idempotency-Key` gets the first response.

A response may contain a seed that is shown once, so each is encrypted. The encryption key is derived from
the `Idempotency-Key`, which is not stored, and from the installation's key. Redis and the installation's key
together do not reveal a response.
"""

import asyncio
import hashlib
import hmac
import os
import secrets
import time
from importlib.resources import files

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from artcafe_common.bus.errors import CommandError
from artcafe_common.storage.redis_client import RedisClient

RESPONSE_TTL_S = 24 * 3600
# Longer than any request. A request whose gateway was killed can be repeated after it.
CLAIM_TTL_S = 60.0
WAIT_S = 5.0
FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 0.4
_KEY_BYTES = 32
_NONCE_BYTES = 12
_PENDING, _DONE = b"p", b"d"


class IdempotencyKeyReused(CommandError):
    """The `Idempotency-Key` was used with a different request in the last 24 hours."""

    status = 422
    code = "idempotency_key_reused"
    title = "The Idempotency-Key belongs to another request"
    remedy = "Send a new `Idempotency-Key` with each new request. Reuse a key only to repeat the identical request."


class IdempotencyInProgress(CommandError):
    """The first request with this `Idempotency-Key` is still in progress."""

    status = 409
    code = "idempotency_in_progress"
    title = "The first request with this Idempotency-Key is still in progress"
    remedy = "Repeat the request with the same key after the number of seconds in `Retry-After`."


class StoredResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A response as it was sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class IdempotencyClaim(msgspec.Struct, frozen=True, kw_only=True):
    """The exclusive right to process a request, for `CLAIM_TTL_S`."""

    redis_key: str
    request_digest: bytes
    pending_record: bytes
    encryption_key: bytes


class IdempotencyStore:
    """Shared by all gateways. `claim` raises StoreUnavailable rather than risk processing a request twice."""

    def __init__(self, redis: RedisClient, key: bytes) -> None:
        folder = files("artcafe_gateway.http") / "lua"
        self._claim_script = redis.script((folder / "claim.lua").read_text())
        self._complete_script = redis.script((folder / "complete.lua").read_text())
        self._release_script = redis.script((folder / "release.lua").read_text())
        self._key = key

    async def claim(self, *, owner: str, key: str, request: bytes) -> IdempotencyClaim | StoredResponse:
        """Claim a request of its owner, or return its stored response.

        Waits up to `WAIT_S` for a request in progress; IdempotencyKeyReused, IdempotencyInProgress.
        """
        claim = self._build_claim(owner, key, request)
        deadline, pause = time.monotonic() + WAIT_S, FIRST_PAUSE_S
        while True:
            record: bytes | None = await self._claim_script.run(
                [claim.redis_key],
                [claim.pending_record, int(CLAIM_TTL_S * 1000)],
                wait_for_recovery=True,
            )
            if record is None:
                return claim
            state, request_digest, rest = (
                record[:1],
                record[1 : 1 + _KEY_BYTES],
                record[1 + _KEY_BYTES :],
            )
            if not hmac.compare_digest(request_digest, claim.request_digest):
                raise IdempotencyKeyReused
            if state == _DONE:
                return _decrypt(claim, rest)
            if time.monotonic() + pause > deadline:
                raise IdempotencyInProgress(retry_after_s=1)
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_S)

    async def complete(self, claim: IdempotencyClaim, response: StoredResponse) -> None:
        """Store the response of a claimed request; StoreUnavailable."""
        record = _DONE + claim.request_digest + _encrypt(claim, response)
        await self._complete_script.run(
            [claim.redis_key],
            [claim.pending_record, record, RESPONSE_TTL_S * 1000],
            wait_for_recovery=True,
        )

    async def release(self, claim: IdempotencyClaim) -> None:
        """Release a claim without a response, so that the request can be repeated; StoreUnavailable."""
        await self._release_script.run([claim.redis_key], [claim.pending_record], wait_for_recovery=True)

    def _build_claim(self, owner: str, key: str, request: bytes) -> IdempotencyClaim:
        derived = HKDF(SHA256(), 3 * _KEY_BYTES, self._key, b"answer|" + owner.encode()).derive(key.encode())
        name, encryption_key, digest_key = (
            derived[:_KEY_BYTES],
            derived[_KEY_BYTES : 2 * _KEY_BYTES],
            derived[2 * _KEY_BYTES :],
        )
        request_digest = hmac.digest(digest_key, request, hashlib.sha256)
        return IdempotencyClaim(
            redis_key=f"answer:{name.hex()}",
            request_digest=request_digest,
            # Random, so that only this claim can be completed or released.
            pending_record=_PENDING + request_digest + secrets.token_bytes(16),
            encryption_key=encryption_key,
        )


def _encrypt(claim: IdempotencyClaim, response: StoredResponse) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    plaintext = msgspec.msgpack.encode(response)
    return nonce + AESGCM(claim.encryption_key).encrypt(nonce, plaintext, claim.redis_key.encode())


def _decrypt(claim: IdempotencyClaim, ciphertext: bytes) -> StoredResponse:
    nonce, ciphertext = ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:]
    plaintext = AESGCM(claim.encryption_key).decrypt(nonce, ciphertext, claim.redis_key.encode())
    return msgspec.msgpack.decode(plaintext, type=StoredResponse)
