"""The clients of bearer tokens, cached; events of tenancy invalidate them as they end connections."""

import hashlib
import time

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.cache import Cache, Versions
from artcafe_common.contracts.identity.client_tokens import (
    AuthenticateClientToken,
    TokenIdentity,
    read_client_id,
)
from artcafe_common.contracts.identity.users import InvalidToken
from artcafe_common.contracts.tenancy.events import AccountStatusChanged, ClientChanged, ClientRevoked

MAX_TOKENS = 20_000
TOKEN_AGE_S = 60


class ClientTokens:
    """Authenticates clients by their tokens."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        # By client, its version, and the token's digest, so that a memory dump reveals no tokens.
        self._identities: Cache[tuple[str, int, bytes], TokenIdentity] = Cache(
            size=MAX_TOKENS, age_s=TOKEN_AGE_S
        )
        self._versions: Versions[str] = Versions(size=MAX_TOKENS)

    async def subscribe(self) -> None:
        """Subscribe to the events that invalidate tokens."""
        await self._bus.subscribe(ClientRevoked, self._on_client_changed)
        await self._bus.subscribe(ClientChanged, self._on_client_changed)
        await self._bus.subscribe(AccountStatusChanged, self._on_status_changed)

    async def authenticate(self, token: str, caller: CallerContext) -> TokenIdentity:
        """The client of a token; InvalidToken, AccountSuspended, AccountDeleted."""
        client_id = read_client_id(token)
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        identity = await self._identities.get(
            (client_id, self._versions.get(client_id), digest),
            lambda: self._bus.call(AuthenticateClientToken(token=token), caller=caller),
        )
        if identity.expires_at.timestamp() <= time.time():
            raise InvalidToken
        return identity

    def clear(self) -> None:
        """Authenticate every token again, after events may have been missed."""
        self._identities.clear()
        self._versions.clear()

    async def _on_client_changed(self, event: ClientRevoked | ClientChanged) -> None:
        self._versions.change(event.client_id)

    async def _on_status_changed(self, _event: AccountStatusChanged) -> None:
        self.clear()
