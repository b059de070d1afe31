"""Answers that are kept for a day, so that a request with the same `Idempotency-Key` gets the same one.

Some hold a seed that is shown once. Each is sealed with a key that is made of its
`Idempotency-Key` and the installation's own, and only the first is kept nowhere: whoever has the store
and the installation's key, but not the client's, reads nothing.
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

KEPT_S = 24 * 3600
# No request takes longer; one whose gateway was killed can be made anew after it.
CLAIM_S = 60.0
WAIT_S = 5.0
FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 0.4
_PART = 32
_NONCE = 12
_PENDING, _DONE = b"p", b"d"


class IdempotencyKeyReused(CommandError):
    """The `Idempotency-Key` was given with another request in the last 24 hours."""

    status = 422
    code = "idempotency_key_reused"
    title = "The Idempotency-Key belongs to another request"


class IdempotencyInProgress(CommandError):
    """The first request with this `Idempotency-Key` is not answered yet."""

    status = 409
    code = "idempotency_in_progress"
    title = "The first request with this Idempotency-Key is not answered yet"


class StoredResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What a request was answered with."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class IdempotencyClaim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to do what a request asks for, until `CLAIM_S` from now."""

    place: str
    digest: bytes
    mark: bytes
    sealing_key: bytes


class IdempotencyStore:
    """Keeps answers for all gateways; StoreUnavailable from `begin` rather than a thing done twice."""

    def __init__(self, shared: RedisClient, key: bytes) -> None:
        folder = files("artcafe_gateway.http") / "lua"
        self._begin = shared.script((folder / "claim.lua").read_text())
        self._finish = shared.script((folder / "complete.lua").read_text())
        self._key = key

    async def begin(self, *, owner: str, key: str, request: bytes) -> IdempotencyClaim | StoredResponse:
        """The first answer to this request of its owner, or the claim to give it.

        Waits a while for a first one that is under way; IdempotencyKeyReused, IdempotencyInProgress.
        """
        claim = self._claim(owner, key, request)
        until, pause = time.monotonic() + WAIT_S, FIRST_PAUSE_S
        while True:
            found: bytes | None = await self._begin.run(
                [claim.place], [claim.mark, int(CLAIM_S * 1000)], wait_for_recovery=True
            )
            if found is None:
                return claim
            kind, digest, rest = found[:1], found[1 : 1 + _PART], found[1 + _PART :]
            if not hmac.compare_digest(digest, claim.digest):
                raise IdempotencyKeyReused
            if kind == _DONE:
                return _opened(claim, rest)
            if time.monotonic() + pause > until:
                raise IdempotencyInProgress(retry_after_s=1)
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_S)

    async def keep(self, claim: IdempotencyClaim, answer: StoredResponse) -> None:
        """Keep the answer; StoreUnavailable."""
        nonce = os.urandom(_NONCE)
        sealed = AESGCM(claim.sealing_key).encrypt(
            nonce, msgspec.msgpack.encode(answer), claim.place.encode()
        )
        await self._end(claim, _DONE + claim.digest + nonce + sealed)

    async def cancel(self, claim: IdempotencyClaim) -> None:
        """Nothing was done: the same request may come anew; StoreUnavailable."""
        await self._end(claim, b"")

    async def _end(self, claim: IdempotencyClaim, stored: bytes) -> None:
        await self._finish.run([claim.place], [claim.mark, stored, KEPT_S * 1000], wait_for_recovery=True)

    def _claim(self, owner: str, key: str, request: bytes) -> IdempotencyClaim:
        made = HKDF(SHA256(), 3 * _PART, self._key, b"answer|" + owner.encode()).derive(key.encode())
        place, sealing_key, digest_key = made[:_PART], made[_PART : 2 * _PART], made[2 * _PART :]
        digest = hmac.digest(digest_key, request, hashlib.sha256)
        return IdempotencyClaim(
            place=f"answer:{place.hex()}",
            digest=digest,
            mark=_PENDING + digest + secrets.token_bytes(16),
            sealing_key=sealing_key,
        )


def _opened(claim: IdempotencyClaim, sealed: bytes) -> StoredResponse:
    raw = AESGCM(claim.sealing_key).decrypt(sealed[:_NONCE], sealed[_NONCE:], claim.place.encode())
    return msgspec.msgpack.decode(raw, type=StoredResponse)
