"""Whether a client is who it says: its record and its signature.

Whoever shows a key is looked up by it, once they have signed with it, and records are cached by key
alone: were they cached by id, how fast a stranger is refused would tell which ids are in use.
"""

from typing import NoReturn

from artcafe_common.broker.nkeys import KeyKind, create, decode_signature, verify
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.cache import Cache
from artcafe_common.contracts.identity.clients import AuthenticationFailed
from artcafe_common.contracts.tenancy.clients import ClientNotFound, ClientState
from artcafe_common.contracts.tenancy.credentials import ClientCredential, FindClientCredential
from artcafe_common.contracts.tenancy.events import ClientChanged, ClientRevoked
from artcafe_identity.login_failures import LoginFailures


class Clients:
    """Authenticates clients by id or by public key."""

    def __init__(self, bus: Bus, knocks: LoginFailures) -> None:
        self._bus = bus
        self._knocks = knocks
        # Verified in place of a client that does not exist, so that both take the same time.
        self._nobody = create(KeyKind.USER).public
        self._by_key: Cache[str, ClientCredential | None] = Cache(size=50_000, age_s=60)

    async def watch(self) -> None:
        """Drop what is cached of a client as soon as it changes."""
        await self._bus.subscribe(ClientRevoked, self._forget)
        await self._bus.subscribe(ClientChanged, self._forget)

    async def authenticate(
        self, *, nonce: str, signature: str, client_id: str | None = None, nkey: str | None = None
    ) -> ClientCredential:
        """The active client that signed `nonce`; AuthenticationFailed whatever else is wrong."""
        if nkey and not _signed(nkey, nonce, signature):
            # Nobody is looked up for who does not hold the key that they show.
            self.refuse(client_id=client_id, nkey=nkey)
        found = await self._of_key(nkey) if nkey else None
        if found is None and client_id is not None:
            # The index of keys follows the table a moment later: a new client is found by its id.
            found = await self._of_id(client_id)
        signed = bool(nkey) or _signed(found.nkey_public if found else self._nobody, nonce, signature)
        if found is None or not signed or (nkey and nkey != found.nkey_public):
            self.refuse(client_id=client_id, nkey=nkey)
        if found.state is not ClientState.ACTIVE or client_id not in (None, found.client_id):
            self._knocks.proven(f"client:{found.client_id}", found.tenant_id)
            if client_id not in (None, found.client_id):
                self.refuse(client_id=client_id)
            raise AuthenticationFailed
        return found

    def refuse(self, *, client_id: str | None = None, nkey: str | None = None) -> NoReturn:
        """AuthenticationFailed; the organization of who they said to be is told."""
        self._knocks.said(client_id=client_id or "", nkey="" if client_id else nkey or "")
        raise AuthenticationFailed

    def forget_all(self) -> None:
        """Drop everything: news may have been missed."""
        self._by_key.clear()

    async def _of_key(self, public: str) -> ClientCredential | None:
        return await self._by_key.get(public, lambda: self._find(FindClientCredential(nkey_public=public)))

    async def _of_id(self, client_id: str) -> ClientCredential | None:
        return await self._find(FindClientCredential(client_id=client_id))

    async def _find(self, command: FindClientCredential) -> ClientCredential | None:
        try:
            return await self._bus.call(command, caller=CallerContext.service("identity"))
        except ClientNotFound:
            return None

    async def _forget(self, event: ClientRevoked | ClientChanged) -> None:
        self._by_key.invalidate(event.nkey_public)


def _signed(public: str, nonce: str, signature: str) -> bool:
    return verify(public, KeyKind.USER, nonce.encode(), decode_signature(signature))
