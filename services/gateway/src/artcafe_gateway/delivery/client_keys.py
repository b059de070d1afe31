"""The public keys of clients, by which gateways verify the signatures of messages published directly over NATS."""

import time
from collections import Counter
from enum import StrEnum

import msgspec
from cachetools import LRUCache, TTLCache
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from artcafe_common.broker.nkeys import InvalidNKeyError, KeyKind, decode_public
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.cache import Cache
from artcafe_common.contracts.tenancy.clients import ClientNotFound, ClientStatus, GetClient
from artcafe_common.contracts.tenancy.events import ClientChanged, ClientRevoked

# Messages wait for a lookup.
LOOKUP_DEADLINE_S = 0.5
KEY_AGE_S = 60
MISSING_KEY_AGE_S = 5
# After a lookup that failed, no message waits for another one.
FAILURE_PAUSE_S = 1.0
MAX_KEYS = 50_000
# Repeated reads of a message, and its other subscriptions, find the result here.
MAX_RESULTS = 5_000

_Id = tuple[str, str]


class SignatureResult(StrEnum):
    """What became of the signature of a message."""

    VERIFIED = "verified"
    INVALID = "invalid"
    EXPIRED = "expired"
    # No active client of the organization, or its key could not be looked up.
    UNKNOWN_CLIENT = "unknown_client"
    # Above the rate of one organization.
    LIMITED = "limited"


class ClientKeys:
    """The current key of each active client, cached; events of tenancy invalidate it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        # By organization and client.
        self._keys: Cache[_Id, bytes] = Cache(size=MAX_KEYS, age_s=KEY_AGE_S)
        self._missing: TTLCache[_Id, None] = TTLCache(MAX_KEYS, MISSING_KEY_AGE_S)
        self._failed_until = 0.0
        self._change_count = 0
        # By key, signature and text.
        self._results: LRUCache[tuple[bytes, bytes, bytes], bool] = LRUCache(MAX_RESULTS)
        # How many signatures had which result.
        self.results: Counter[SignatureResult] = Counter()

    async def subscribe(self) -> None:
        """Subscribe to the events that invalidate keys."""
        await self._bus.subscribe(ClientRevoked, self._invalidate)
        await self._bus.subscribe(ClientChanged, self._invalidate)

    def clear(self) -> None:
        """Forget all keys, after events may have been missed."""
        self._keys.clear()
        self._missing.clear()

    def is_missing(self, tenant_id: str, client_id: str) -> bool:
        """Whether a lookup has just found no active client, or has just failed."""
        return (tenant_id, client_id) in self._missing or time.monotonic() < self._failed_until

    def cached(self, tenant_id: str, client_id: str) -> bytes | None:
        """The client's key, if it was looked up and the client is active."""
        return self._keys.cached((tenant_id, client_id))

    async def load(self, tenant_id: str, client_id: str) -> None:
        """Look a client up, so that `cached` has its key."""
        key, change_count = (tenant_id, client_id), self._change_count
        try:
            await self._keys.get(key, lambda: self._find(tenant_id, client_id))
        except (ClientNotFound, InvalidNKeyError):
            # Unless the client may have been created meanwhile.
            if change_count == self._change_count:
                self._missing[key] = None
        except CommandError:
            self._failed_until = time.monotonic() + FAILURE_PAUSE_S

    async def _find(self, tenant_id: str, client_id: str) -> bytes:
        client = await self._bus.call(
            GetClient(client_id=client_id),
            caller=msgspec.structs.replace(CallerContext.service("gateway"), tenant_id=tenant_id),
            deadline_s=LOOKUP_DEADLINE_S,
            wait_for_recovery=False,
        )
        if client.status is ClientStatus.SUSPENDED:
            raise ClientNotFound
        return decode_public(client.nkey_public, KeyKind.USER)

    async def _invalidate(self, event: ClientRevoked | ClientChanged) -> None:
        key = event.tenant_id, event.client_id
        self._change_count += 1
        self._keys.invalidate(key)
        self._missing.pop(key, None)

    def cached_result(self, key: bytes, signature: bytes, text: bytes) -> bool | None:
        """As `verify`, if that was called with the same arguments lately."""
        return self._results.get((key, signature, text))

    def verify(self, key: bytes, signature: bytes, text: bytes) -> bool:
        """Whether a signature of a text is valid. It takes a tenth of a millisecond."""
        try:
            VerifyKey(key).verify(text, signature)
        except (BadSignatureError, ValueError):
            valid = False
        else:
            valid = True
        self._results[key, signature, text] = valid
        return valid
