"""The public keys of the OpenID provider, cached."""

import asyncio
import time
from typing import Any

import httpx
import msgspec
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from artcafe_common.bus.errors import DECODE_ERRORS
from artcafe_common.contracts.identity.users import InvalidToken, ProviderUnavailable

FETCH_TIMEOUT_S = 3
MAX_KEY_SET_BYTES = 256 * 1024
MIN_KEY_BITS = 2048
MAX_LOGGED_KEYS = 10
# Unknown key ids trigger at most one refresh per this interval, so that forged tokens cannot flood
# the provider.
REFRESH_INTERVAL_S = 60
# The retry interval until the first keys are fetched.
INITIAL_RETRY_S = 1
# Withdrawn keys are trusted for at most this long.
MAX_AGE_S = 600
# Raised by importing a malformed key.
_MALFORMED_KEY = (JoseError, ValueError, TypeError, LookupError, AttributeError, OverflowError)
log = structlog.get_logger()


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[Any]


class JwksCache:
    """The provider's public keys by key id, cached."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._http = http
        self._keys: dict[str, RSAKey] = {}
        self._fetched_at = float("-inf")
        self._attempted_at = float("-inf")
        self._refresh_lock = asyncio.Lock()
        # The unusable keys of the last key set, each of which was logged.
        self._skipped: set[tuple[str, str]] = set()

    async def get_key(self, kid: str) -> RSAKey:
        """The key with this id, refreshed when unknown. Raises InvalidToken or ProviderUnavailable."""
        if not self._has_fresh_key(kid):
            # Concurrent callers share one refresh.
            async with self._refresh_lock:
                if not self._has_fresh_key(kid):
                    await self._refresh_if_due()
        if kid in self._keys:
            return self._keys[kid]
        raise InvalidToken

    def _has_fresh_key(self, kid: str) -> bool:
        return kid in self._keys and time.monotonic() - self._fetched_at <= MAX_AGE_S

    async def load(self) -> None:
        """Fetch the keys if none are cached. Raises ProviderUnavailable."""
        if not self._keys:
            async with self._refresh_lock:
                await self._refresh_if_due()

    async def _refresh_if_due(self) -> None:
        now = time.monotonic()
        if now - self._attempted_at > (REFRESH_INTERVAL_S if self._keys else INITIAL_RETRY_S):
            await self._refresh(now)
        elif not self._keys:
            raise ProviderUnavailable

    async def _refresh(self, now: float) -> None:
        self._attempted_at = now
        try:
            keys = self._parse(await self._fetch())
        except (httpx.HTTPError, TimeoutError, ValueError, *DECODE_ERRORS) as error:
            log.warning("jwks_fetch_failed", reason=repr(error))
            if not self._keys:
                raise ProviderUnavailable from error
            return
        self._keys = keys
        self._fetched_at = now

    async def _fetch(self) -> bytes:
        # httpx bounds each read, and not the whole response.
        async with (
            asyncio.timeout(FETCH_TIMEOUT_S),
            self._http.stream("GET", self._url, timeout=FETCH_TIMEOUT_S) as response,
        ):
            response.raise_for_status()
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_KEY_SET_BYTES:
                    raise ValueError("the key set is too long")
            return body

    def _parse(self, body: bytes) -> dict[str, RSAKey]:
        """The usable keys by id; the others are skipped. Raises ValueError if there are others only."""
        found = msgspec.json.decode(body, type=_KeySet).keys
        keys: dict[str, RSAKey] = {}
        skipped: set[tuple[str, str]] = set()
        for each in found:
            try:
                key_id, key = _import_key(each)
            except _MALFORMED_KEY as error:
                skipped.add((_describe_id(each), type(error).__name__))
                continue
            keys[key_id] = key
        if new := sorted(skipped - self._skipped):
            log.warning("jwks_keys_skipped", count=len(new), keys=new[:MAX_LOGGED_KEYS])
        self._skipped = skipped
        if not keys:
            raise ValueError("the key set contains no usable key")
        return keys


def _import_key(key: Any) -> tuple[str, RSAKey]:
    """Raises one of _MALFORMED_KEY for all but an RSA key for signatures that has an id."""
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str) or not key["kid"]:
        raise ValueError("a key without an id")
    if (
        key.get("kty") != "RSA"
        or (key.get("use") or "sig") != "sig"
        or (key.get("alg") or "RS256") != "RS256"
    ):
        raise ValueError("not a key of RS256")
    imported = RSAKey.import_key({name: key[name] for name in ("kty", "kid", "n", "e")})
    if imported.raw_value.key_size < MIN_KEY_BITS:
        raise ValueError("a weak key")
    return key["kid"], imported


def _describe_id(key: Any) -> str:
    return str(key.get("kid"))[:64] if isinstance(key, dict) else ""
