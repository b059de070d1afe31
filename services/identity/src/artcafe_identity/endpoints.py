"""identity's commands."""

import secrets
import time
from datetime import UTC, datetime

from artcafe_common import authorization
from artcafe_common.broker.claims import encode
from artcafe_common.broker.nkeys import InvalidNKeyError, KeyKind, KeyPair, create, decode_public
from artcafe_common.bus.client import Bus
from artcafe_common.bus.command import Empty
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.identity.accounts import (
    AccountComparison,
    AccountMissing,
    BridgeCredentials,
    BrokerAccount,
    CompareAccounts,
    EnsureAccount,
    FindAccount,
    IssueAccountKey,
    IssueBridgeCredentials,
)
from artcafe_common.contracts.identity.clients import (
    AuthenticateClient,
    ClientChallenge,
    ClientIdentity,
    CreateClientChallenge,
    IssueClientKey,
    KeyPairIssued,
)
from artcafe_common.contracts.identity.streams import EnsureStream, PurgeStream, RemoveStream
from artcafe_common.contracts.identity.users import Login, RefreshTokens, Tokens, User, VerifyUserToken
from artcafe_common.contracts.tenancy.members import Role
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.agent_tokens import AgentTokens
from artcafe_identity.agents import AgentEndpoints
from artcafe_identity.client_authenticator import Clients
from artcafe_identity.cognito import Cognito
from artcafe_identity.login_failures import LoginFailures
from artcafe_identity.settings import Settings
from artcafe_identity.store import Rates, Store
from artcafe_identity.tables import AccountItem
from artcafe_identity.tenant_claims import bridge_user
from artcafe_identity.tenant_streams import TenantStreams
from artcafe_identity.user_tokens import TokenVerifier

NONCE_BYTES = 32
# Those bytes in base64url without padding.
NONCE_LENGTH = 43
# No id that we give out is longer.
MAX_ID = 128
MAX_EXAMPLES = 20


class Endpoints(AgentEndpoints):
    """One method for each command of the contract."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        rates: Rates,
        registry: AccountRepository,
        streams: TenantStreams,
        clients: Clients,
        tokens: TokenVerifier,
        cognito: Cognito,
        bus: Bus,
        agent_tokens: AgentTokens,
        knocks: LoginFailures,
    ) -> None:
        super().__init__(
            settings=settings,
            store=store,
            rates=rates,
            registry=registry,
            bus=bus,
            tokens=agent_tokens,
            knocks=knocks,
        )
        self._streams = streams
        self._clients = clients
        self._tokens = tokens
        self._cognito = cognito

    # -- people ------------------------------------------------------------------------------

    @handles(VerifyUserToken)
    async def verify_user_token(self, request: VerifyUserToken) -> User:
        return await self._tokens.verify(request.token)

    @handles(Login)
    async def login(self, request: Login) -> Tokens:
        return await self._cognito.login(request.email, request.password)

    @handles(RefreshTokens)
    async def refresh_tokens(self, request: RefreshTokens) -> Tokens:
        return await self._cognito.refresh(request.refresh_token)

    # -- accounts ----------------------------------------------------------------------------

    @handles(EnsureAccount)
    async def ensure_account(self, request: EnsureAccount) -> BrokerAccount:
        return _broker_account(await self._registry.ensure(request.tenant_id, request.plan))

    @handles(FindAccount)
    async def find_account(self, request: FindAccount) -> BrokerAccount:
        item = await self._store.find_account(request.account)
        if item is None:
            raise AccountMissing
        return _broker_account(item)

    @handles(CompareAccounts)
    async def compare_accounts(self, request: CompareAccounts) -> AccountComparison:
        compared = await self._registry.compare(push=request.push)
        differing = [tenant_id for tenant_id, differs in compared.items() if differs]
        return AccountComparison(
            known=len(compared), differing=len(differing), examples=differing[:MAX_EXAMPLES]
        )

    @handles(IssueAccountKey)
    async def issue_account_key(self, request: IssueAccountKey) -> KeyPairIssued:  # noqa: ARG002
        tenant_id = authorization.require_role(Role.ADMIN)
        pair = await self._new_key(tenant_id, KeyKind.ACCOUNT)
        await self._registry.set_tenant_key(tenant_id, pair.public)
        return KeyPairIssued(nkey_public=pair.public, nkey_seed=pair.seed)

    # -- clients -----------------------------------------------------------------------------

    @handles(IssueClientKey)
    async def issue_client_key(self, request: IssueClientKey) -> KeyPairIssued:  # noqa: ARG002
        pair = await self._new_key(authorization.require_role(Role.MEMBER), KeyKind.USER)
        return KeyPairIssued(nkey_public=pair.public, nkey_seed=pair.seed)

    @handles(CreateClientChallenge)
    async def create_client_challenge(self, request: CreateClientChallenge) -> ClientChallenge:
        if len(request.client_id) > MAX_ID:
            field = FieldError(field="client_id", message=f"Expected `str` of length <= {MAX_ID}")
            raise InvalidRequest(field.message, errors=(field,))
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        expires_at = await self._store.add_challenge(nonce, request.client_id, self._settings.challenge_ttl_s)
        return ClientChallenge(nonce=nonce, expires_at=datetime.fromtimestamp(expires_at, UTC))

    @handles(AuthenticateClient)
    async def authenticate_client(self, request: AuthenticateClient) -> ClientIdentity:
        if request.stored and not await self._use_challenge(request.nonce, request.client_id):
            self._clients.refuse(client_id=request.client_id)
        client = await self._clients.authenticate(
            client_id=request.client_id,
            nkey=request.nkey,
            nonce=request.nonce,
            signature=request.signature,
        )
        account = await self._registry.open(client.tenant_id)
        return ClientIdentity(
            client_id=client.client_id,
            tenant_id=client.tenant_id,
            account=account.item.account,
            name=client.name,
            permissions=client.permissions,
        )

    @handles(IssueBridgeCredentials)
    async def issue_bridge_credentials(self, request: IssueBridgeCredentials) -> BridgeCredentials:
        try:
            decode_public(request.nkey_public, KeyKind.USER)
        except InvalidNKeyError as error:
            raise InvalidRequest(str(error)) from None
        account = await self._registry.open(request.tenant_id)
        jwt = encode(
            bridge_user(tenant_id=request.tenant_id, account=account.item.account),
            issuer=account.signing,
            subject=request.nkey_public,
            name=f"gateway {request.server_id}",
            issued_at=int(time.time()),
        )
        return BridgeCredentials(jwt=jwt, account=account.item.account)

    # -- streams -----------------------------------------------------------------------------

    @handles(EnsureStream)
    async def ensure_stream(self, request: EnsureStream) -> Empty:
        await self._streams.ensure(request)
        return Empty()

    @handles(RemoveStream)
    async def remove_stream(self, request: RemoveStream) -> Empty:
        await self._streams.remove(request.tenant_id, request.stream)
        return Empty()

    @handles(PurgeStream)
    async def purge_stream(self, request: PurgeStream) -> Empty:
        await self._streams.purge(request)
        return Empty()

    async def _use_challenge(self, nonce: str, client_id: str) -> bool:
        # Whatever else stands in the URL is not looked up: the store takes no empty or endless key.
        if len(nonce) != NONCE_LENGTH or len(client_id) > MAX_ID:
            return False
        return await self._store.use_challenge(nonce, client_id)

    async def _new_key(self, tenant_id: str, kind: KeyKind) -> KeyPair:
        await self._rates.new_key(tenant_id)
        return create(kind)


def _broker_account(item: AccountItem) -> BrokerAccount:
    return BrokerAccount(account=item.account, tenant_id=item.tenant_id, platform_key=item.platform_key)
