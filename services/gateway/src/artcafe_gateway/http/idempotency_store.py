"""Stores responses in Redis for 24 hours, so that a repeated `Idempotency-Key` gets the first response.

Of one organization, or of one person without an organization, the latest `MAX_STORED_BYTES` are stored.

Each response is encrypted. The encryption key is derived from the `Idempotency-Key`, which is not stored, and
from the installation's key. Redis and the installation's key together do not reveal a response.
"""

import asyncio
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from artcafe_common.bus.errors import CommandError, StoreUnavailable
from artcafe_common.key_ring import KeyRing
from artcafe_common.storage.redis_client import RedisClient
from artcafe_gateway.http.unconfirmed_writes import UnconfirmedWrites

RESPONSE_TTL_S = 24 * 3600
# Longer than any request. A request whose gateway was killed can be repeated after it.
CLAIM_TTL_S = 60.0
# Of the responses of one organization, each with OVERHEAD_BYTES for what Redis needs besides; so their number is
# bounded, too.
MAX_STORED_BYTES = 4 * 1024 * 1024
OVERHEAD_BYTES = 320
# With what comes before, a repetition has an answer within 2 s.
WAIT_S = 1.0
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


class IdempotencyNotReplayable(CommandError):
    """The first request with this `Idempotency-Key` was executed, and its response is not stored.

    It had a secret that is shown once, or was too large.
    """

    status = 409
    code = "idempotency_not_replayable"
    title = "The response of the first request cannot be repeated"
    remedy = (
        "The resource exists: find it in its list. If you did not receive its secret, issue a new one with a new "
        "`Idempotency-Key` (`regenerate-nkey`, `generate-nkey`), or delete the agent and create it again."
    )


class ExecutedAs(msgspec.Struct, frozen=True, kw_only=True):
    """The organization and the role that a request was executed with; empty for a user without an organization."""

    tenant_id: str = ""
    role: str = ""


class StoredResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A response as it was sent; one that is `withheld` had a secret or was large, and is stored without its body.

    `executed_as` is None in records of earlier releases.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    withheld: bool = False
    executed_as: ExecutedAs | None = None


class IdempotencyClaim(msgspec.Struct, frozen=True, kw_only=True):
    """The exclusive right to process a request, for `CLAIM_TTL_S`."""

    redis_key: str
    # The list of the stored responses of the organization.
    list_key: str
    request_digest: bytes
    pending_record: bytes
    encryption_key: bytes


class IdempotencyStore:
    """Shared by all gateways. `claim` raises StoreUnavailable rather than risk processing a request twice.

    What Redis does not confirm is repeated by `settle_unconfirmed`, as long as the claim lasts.
    """

    def __init__(self, redis: RedisClient, keys: KeyRing) -> None:
        self._redis = redis
        self._unconfirmed = UnconfirmedWrites(lifetime_s=CLAIM_TTL_S)
        folder = files("artcafe_gateway.http") / "lua"
        self._claim_script = redis.script((folder / "claim.lua").read_text())
        self._complete_script = redis.script((folder / "complete.lua").read_text())
        self._release_script = redis.script((folder / "release.lua").read_text())
        self._keys = keys

    async def claim(self, *, owner: str, key: str, request: bytes) -> IdempotencyClaim | StoredResponse:
        """Claim a request of its owner, `TENANT|ACTOR`, or return its stored response.

        Waits up to `WAIT_S` for a request in progress; IdempotencyKeyReused, IdempotencyInProgress.
        """
        # While a key is replaced, all gateways look for records under both: none executes a request twice.
        claims = [_build_claim(each, owner, key, request) for each in self._keys.accepted]
        claim = claims[0]
        deadline, pause = time.monotonic() + WAIT_S, FIRST_PAUSE_S
        while True:
            found = await self._try_to_claim(claims)
            if found is None:
                return claim
            place, record = found
            other = claims[place - 1]
            state, request_digest, rest = (
                record[:1],
                record[1 : 1 + _KEY_BYTES],
                record[1 + _KEY_BYTES :],
            )
            if not hmac.compare_digest(request_digest, other.request_digest):
                raise IdempotencyKeyReused
            if state == _DONE:
                return _decrypt(other, rest)
            if time.monotonic() + pause > deadline:
                raise IdempotencyInProgress(retry_after_s=1)
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_S)

    async def _try_to_claim(self, claims: list[IdempotencyClaim]) -> tuple[int, bytes] | None:
        # The place and the record of another request.
        claim = claims[0]
        try:
            found: tuple[int, bytes] | None = await self._claim_script.run(
                [each.redis_key for each in claims],
                [claim.pending_record, int(CLAIM_TTL_S * 1000)],
                wait_for_recovery=True,
            )
        except StoreUnavailable:
            # A Redis that hung executes the script later: nobody would own the claim.
            self._unconfirmed.add(partial(self._release, claim), repeated=True)
            raise
        return found

    async def complete(self, claim: IdempotencyClaim, response: StoredResponse) -> None:
        """Store the response of a claimed request, in place of the oldest ones if need be; StoreUnavailable."""
        record = _DONE + claim.request_digest + _encrypt(claim, response)
        await self._settle(partial(self._complete, claim, record))

    async def release(self, claim: IdempotencyClaim) -> None:
        """Release a claim without a response, so that the request can be repeated; StoreUnavailable."""
        await self._settle(partial(self._release, claim))

    async def settle_unconfirmed(self) -> None:
        """Repeat what Redis has not confirmed, until Redis fails again; StoreUnavailable."""
        await self._unconfirmed.repeat()

    async def _settle(self, write: Callable[[], Awaitable[None]]) -> None:
        try:
            await write()
        except StoreUnavailable:
            self._unconfirmed.add(write)
            raise

    async def _complete(self, claim: IdempotencyClaim, record: bytes) -> None:
        await self._complete_script.run(
            [claim.redis_key, claim.list_key, f"{claim.list_key}:bytes"],
            [claim.pending_record, record, int(RESPONSE_TTL_S * 1000), MAX_STORED_BYTES, OVERHEAD_BYTES],
            wait_for_recovery=True,
        )

    async def _release(self, claim: IdempotencyClaim) -> None:
        await self._release_script.run([claim.redis_key], [claim.pending_record], wait_for_recovery=True)

    async def delete_tenant(self, tenant_id: str) -> None:
        """Delete the stored responses of an organization. Idempotent; StoreUnavailable."""
        list_key = _list_key(tenant_id)
        entries = await self._redis.execute(lambda client: client.lrange(list_key, 0, -1))
        records = [entry.split(b" ", 2)[2].decode() for entry in entries]
        await self._redis.unlink(*records, list_key, f"{list_key}:bytes")


def _list_key(owner: str) -> str:
    return f"answers:{hashlib.sha256(owner.encode()).hexdigest()[:32]}"


def _build_claim(secret: bytes, owner: str, key: str, request: bytes) -> IdempotencyClaim:
    derived = HKDF(SHA256(), 3 * _KEY_BYTES, secret, b"answer|" + owner.encode()).derive(key.encode())
    name, encryption_key, digest_key = (
        derived[:_KEY_BYTES],
        derived[_KEY_BYTES : 2 * _KEY_BYTES],
        derived[2 * _KEY_BYTES :],
    )
    request_digest = hmac.digest(digest_key, request, hashlib.sha256)
    tenant_id, _, actor = owner.partition("|")
    return IdempotencyClaim(
        redis_key=f"answer:{name.hex()}",
        list_key=_list_key(tenant_id or actor),
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
