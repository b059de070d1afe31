"""Bearer tokens of clients: JWTs signed by identity, which end with the client's key."""

import time
from datetime import UTC, datetime

import msgspec

from artcafe_common.broker.subjects import BadSubject, ForbiddenSubject
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.identity.client_tokens import (
    CLIENT_TOKEN_TYPE,
    AuthenticateClientToken,
    ClientToken,
    IssueClientToken,
    TokenIdentity,
    TokenScope,
)
from artcafe_common.contracts.identity.clients import ClientIdentity
from artcafe_common.contracts.identity.users import InvalidToken
from artcafe_common.contracts.tenancy.clients import ClientState
from artcafe_common.contracts.tenancy.credentials import ClientCredential
from artcafe_common.grants import permission_patterns
from artcafe_common.key_ring import KeyRing
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.client_authenticator import ClientAuthenticator
from artcafe_identity.signed_tokens import ISSUER, TokenSigner

AUDIENCE = "artcafe-client-rest"


class ClientClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of client `sub` of tenant `tid`, valid while its public key is `key`."""

    iss: str
    aud: str
    sub: str
    tid: str
    key: str
    scope: TokenScope
    iat: int
    exp: int


class ClientTokens:
    """Issues the tokens of clients, and authenticates clients by them."""

    def __init__(
        self, seeds: KeyRing, *, authenticator: ClientAuthenticator, accounts: AccountRepository
    ) -> None:
        self._signer = TokenSigner(seeds, ClientClaims, audience=AUDIENCE, token_type=CLIENT_TOKEN_TYPE)
        self._authenticator = authenticator
        self._accounts = accounts

    async def issue(self, client: ClientCredential, request: IssueClientToken) -> ClientToken:
        """A token of a client that has signed its nonce. Raises InvalidRequest for a pattern it could never have."""
        _check_scope(client.tenant_id, request.scope)
        await self._accounts.get_active_account(client.tenant_id)
        now = int(time.time())
        claims = ClientClaims(
            iss=ISSUER,
            aud=AUDIENCE,
            sub=client.client_id,
            tid=client.tenant_id,
            key=client.nkey_public,
            scope=request.scope,
            iat=now,
            exp=now + request.ttl_s,
        )
        return ClientToken(
            token=self._signer.sign(claims), expires_at=datetime.fromtimestamp(claims.exp, UTC)
        )

    async def authenticate(self, request: AuthenticateClientToken) -> TokenIdentity:
        """The client of a token, as it is stored now. Raises InvalidToken."""
        claims = self._signer.verify(request.token)
        if claims is None:
            raise InvalidToken
        client = await self._authenticator.find_by_id(claims.sub)
        if (
            client is None
            or client.state is not ClientState.ACTIVE
            or (client.tenant_id, client.nkey_public) != (claims.tid, claims.key)
        ):
            raise InvalidToken
        return TokenIdentity(
            client=await to_identity(client, self._accounts),
            scope=claims.scope,
            expires_at=datetime.fromtimestamp(claims.exp, UTC),
        )


async def to_identity(client: ClientCredential, accounts: AccountRepository) -> ClientIdentity:
    """A client that has authenticated. Raises AccountSuspended, AccountDeleted."""
    account = await accounts.get_active_account(client.tenant_id)
    return ClientIdentity(
        client_id=client.client_id,
        tenant_id=client.tenant_id,
        account=account.item.account,
        name=client.name,
        permissions=client.permissions,
        updated_at=client.updated_at,
    )


def _check_scope(tenant_id: str, scope: TokenScope) -> None:
    errors = [
        error
        for name in ("publish", "subscribe")
        for number, pattern in enumerate(getattr(scope, name) or ())
        if (error := _find_error(tenant_id, f"scope.{name}[{number}]", pattern)) is not None
    ]
    if errors:
        raise InvalidRequest(f"{errors[0].field}: {errors[0].message}", errors=tuple(errors))


def _find_error(tenant_id: str, field: str, pattern: str) -> FieldError | None:
    try:
        permission_patterns(tenant_id, pattern)
    except (BadSubject, ForbiddenSubject) as error:
        return FieldError(field=field, message=error.detail)
    return None
