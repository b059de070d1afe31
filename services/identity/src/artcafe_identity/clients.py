"""Whether a client is who it says: its record (cached, dropped at news) and its signature."""

from artcafe_common.broker.nkeys import KeyKind, create, decode_signature, verify
from artcafe_common.bus.caller import Caller
from artcafe_common.bus.client import Bus
from artcafe_common.cache import Cache
from artcafe_common.contracts.identity import AuthenticationFailed
from artcafe_common.contracts.tenancy import (
    ClientChanged,
    ClientCredential,
    ClientNotFound,
    ClientRevoked,
    ClientState,
    FindCredential,
)


class Clients:
    """Authenticates clients by id or by public key."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        # Verified in place of a client that does not exist, so that both take the same time.
        self._nobody = create(KeyKind.USER).public
        self._by_key: Cache[str, ClientCredential | None] = Cache(size=50_000, age_s=60)
        self._by_id: Cache[str, ClientCredential | None] = Cache(size=50_000, age_s=60)

    async def watch(self) -> None:
        """Drop what is cached of a client as soon as it changes."""
        await self._bus.watch(ClientRevoked, self._forget)
        await self._bus.watch(ClientChanged, self._forget)

    async def authenticate(
        self, *, nonce: str, signature: str, client_id: str | None = None, nkey: str | None = None
    ) -> ClientCredential:
        """The active client that signed `nonce`; AuthenticationFailed whatever else is wrong."""
        found = await (self._of_id(client_id) if client_id else self._of_key(nkey or ""))
        public = found.nkey_public if found else self._nobody
        signed = verify(public, KeyKind.USER, nonce.encode(), decode_signature(signature))
        if found is None or not signed or found.state is not ClientState.ACTIVE:
            raise AuthenticationFailed
        if nkey and nkey != found.nkey_public:
            raise AuthenticationFailed
        return found

    def forget_all(self) -> None:
        """Drop everything: news may have been missed."""
        self._by_key.clear()
        self._by_id.clear()

    async def _of_key(self, public: str) -> ClientCredential | None:
        return await self._by_key.get(public, lambda: self._find(FindCredential(nkey_public=public)))

    async def _of_id(self, client_id: str) -> ClientCredential | None:
        return await self._by_id.get(client_id, lambda: self._find(FindCredential(client_id=client_id)))

    async def _find(self, command: FindCredential) -> ClientCredential | None:
        try:
            return await self._bus.call(command, caller=Caller.service("identity"))
        except ClientNotFound:
            return None

    async def _forget(self, event: ClientRevoked | ClientChanged) -> None:
        self._by_key.forget(event.nkey_public)
        self._by_id.forget(event.client_id)
