"""Authentication of clients by their NKey signature.

Records are cached by public key only, and looked up only after the signature was verified. A cache by
client id would reveal, by the response time, which ids exist.
"""

from typing import NoReturn

from artcafe_common.broker.nkeys import KeyKind, create_key_pair, decode_signature, verify
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.cache import Cache
from artcafe_common.contracts.identity.clients import AuthenticationFailed
from artcafe_common.contracts.tenancy.clients import ClientNotFound, ClientState
from artcafe_common.contracts.tenancy.credentials import ClientCredential, FindClientCredential
from artcafe_common.contracts.tenancy.events import ClientChanged, ClientRevoked
from artcafe_identity.login_failures import LoginFailureReporter


class ClientAuthenticator:
    """Authenticates clients by client id or public key."""

    def __init__(self, bus: Bus, login_failures: LoginFailureReporter) -> None:
        self._bus = bus
        self._login_failures = login_failures
        # Verified when the client does not exist, so that both cases take the same time.
        self._dummy_key = create_key_pair(KeyKind.USER).public
        self._by_key: Cache[str, ClientCredential | None] = Cache(size=50_000, age_s=60)

    async def subscribe_invalidation(self) -> None:
        """Invalidate a cached client when an event reports that it changed."""
        await self._bus.subscribe(ClientChanged, self._on_client_changed)

    async def authenticate(
        self, *, nonce: str, signature: str, client_id: str | None = None, nkey: str | None = None
    ) -> ClientCredential:
        """The active client that signed `nonce`. Raises AuthenticationFailed for every other outcome."""
        if nkey and not _verify_signature(nkey, nonce, signature):
            # No lookup without a valid signature of the presented key.
            self.reject(client_id=client_id, nkey=nkey)
        client = None
        if nkey:
            client = await self._find_by_key(nkey)
        elif client_id is not None:
            client = await self.find_by_id(client_id)
        expected_key = client.nkey_public if client else self._dummy_key
        signed = bool(nkey) or _verify_signature(expected_key, nonce, signature)
        if client is None or not signed:
            self.reject(client_id=client_id, nkey=nkey)
        if client.state is not ClientState.ACTIVE or client_id not in (None, client.client_id):
            self._login_failures.record_verified(f"client:{client.client_id}", client.tenant_id)
            if client_id not in (None, client.client_id):
                self.reject(client_id=client_id)
            raise AuthenticationFailed
        return client

    def reject(self, *, client_id: str | None = None, nkey: str | None = None) -> NoReturn:
        """Record the failed login for the claimed client's organization and raise AuthenticationFailed."""
        self._login_failures.record_unverified(
            client_id=client_id or "", nkey="" if client_id else nkey or ""
        )
        raise AuthenticationFailed

    def clear_cache(self) -> None:
        """Drop all cached clients, because events may have been missed."""
        self._by_key.clear()

    async def _find_by_key(self, public: str) -> ClientCredential | None:
        return await self._by_key.get(public, lambda: self._find(FindClientCredential(nkey_public=public)))

    def is_current(self, client: ClientCredential) -> bool:
        """Whether a client that `authenticate` found by its key has not changed since, as far as is known here."""
        return self._bus.nc.is_connected and self._by_key.cached(client.nkey_public) is client

    async def find_by_id(self, client_id: str) -> ClientCredential | None:
        """The client as it is stored now; None if it does not exist."""
        return await self._find(FindClientCredential(client_id=client_id))

    async def _find(self, command: FindClientCredential) -> ClientCredential | None:
        try:
            return await self._bus.call(command, caller=CallerContext.service("identity"))
        except ClientNotFound:
            return None

    def invalidate(self, event: ClientRevoked | ClientChanged) -> None:
        """Look a changed client up again."""
        self._by_key.invalidate(event.nkey_public)

    async def _on_client_changed(self, event: ClientChanged) -> None:
        self.invalidate(event)


def _verify_signature(public: str, nonce: str, signature: str) -> bool:
    return verify(public, KeyKind.USER, nonce.encode(), decode_signature(signature))
