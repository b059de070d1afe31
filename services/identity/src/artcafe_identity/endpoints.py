"""Endpoints of identity: users, accounts, clients and streams."""

import secrets
import time
from datetime import UTC, datetime

from artcafe_common import authorization
from artcafe_common.broker.claims import encode
from artcafe_common.broker.nkeys import InvalidNKeyError, KeyKind, create_key_pair, decode_public
from artcafe_common.bus.command import Empty
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.identity.accounts import (
    AccountComparison,
    AccountKind,
    AccountMissing,
    BridgeCredentials,
    BrokerAccount,
    CompareAccounts,
    EnsureAccount,
    FindAccount,
    IssueAccountKey,
    IssueBridgeCredentials,
    ListSigningKeys,
    RevokeSigningKey,
    SealedSeeds,
    SealSeeds,
    SigningKey,
    SigningKeys,
)
from artcafe_common.contracts.identity.client_tokens import (
    AuthenticateClientToken,
    ClientToken,
    IssueClientToken,
    TokenIdentity,
)
from artcafe_common.contracts.identity.clients import (
    AuthenticateClient,
    ClientChallenge,
    ClientIdentity,
    CreateClientChallenge,
    IssueClientKey,
    IssuedKeyPair,
)
from artcafe_common.contracts.identity.stream_accounts import (
    IssueStreamCredentials,
    ListStreamAccounts,
    StreamAccountPage,
    StreamCredentials,
)
from artcafe_common.contracts.identity.streams import (
    EnsureStream,
    FinishStreamMove,
    PurgedStream,
    PurgeStream,
    RemoveStream,
)
from artcafe_common.contracts.identity.users import Login, RefreshTokens, Tokens, User, VerifyUserToken
from artcafe_common.contracts.tenancy.members import Role
from artcafe_identity.account_reconciler import AccountReconciler
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.agent_authenticator import AgentAuthenticator
from artcafe_identity.agent_tokens import AgentTokenIssuer
from artcafe_identity.agents import AgentEndpoints
from artcafe_identity.client_authenticator import ClientAuthenticator
from artcafe_identity.client_tokens import ClientTokens, to_identity
from artcafe_identity.cognito import Cognito
from artcafe_identity.rate_limits import IssuanceLimits
from artcafe_identity.settings import Settings
from artcafe_identity.signing_keys import SigningKeyManager
from artcafe_identity.store import Store
from artcafe_identity.stream_accounts import StreamAccountRegistry
from artcafe_identity.tables import MAX_ID_LENGTH, AccountItem
from artcafe_identity.tenant_claims import bridge_user_claims, history_user_claims
from artcafe_identity.tenant_streams import TenantStreamManager
from artcafe_identity.user_details_recorder import UserDetailsRecorder
from artcafe_identity.user_tokens import UserTokenVerifier

NONCE_BYTES = 32
# The length of a nonce in base64url without padding.
NONCE_LENGTH = 43
MAX_EXAMPLES = 20


class Endpoints(AgentEndpoints):
    """One method per command of identity's contract; agents' commands are in the base class."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        issuance_limits: IssuanceLimits,
        accounts: AccountRepository,
        reconciler: AccountReconciler,
        signing_keys: SigningKeyManager,
        streams: TenantStreamManager,
        client_authenticator: ClientAuthenticator,
        client_tokens: ClientTokens,
        user_tokens: UserTokenVerifier,
        cognito: Cognito,
        user_details: UserDetailsRecorder,
        agent_authenticator: AgentAuthenticator,
        agent_tokens: AgentTokenIssuer,
    ) -> None:
        super().__init__(
            accounts=accounts,
            issuance_limits=issuance_limits,
            agent_authenticator=agent_authenticator,
            agent_tokens=agent_tokens,
        )
        self._settings = settings
        self._store = store
        self._reconciler = reconciler
        self._signing_keys = signing_keys
        self._streams = streams
        self._client_authenticator = client_authenticator
        self._client_tokens = client_tokens
        self._user_tokens = user_tokens
        self._cognito = cognito
        self._user_details = user_details
        self._stream_accounts = StreamAccountRegistry(store=store, accounts=accounts)

    # -- users -------------------------------------------------------------------------------

    @handles(VerifyUserToken)
    async def verify_user_token(self, request: VerifyUserToken) -> User:
        user = await self._user_tokens.verify(request.token)
        self._user_details.note(user, request.token)
        return user

    @handles(Login)
    async def login(self, request: Login) -> Tokens:
        tokens = await self._cognito.login(
            request.email, request.password, new_password=request.new_password, code=request.code
        )
        await self._user_details.record_login(tokens)
        return tokens

    @handles(RefreshTokens)
    async def refresh_tokens(self, request: RefreshTokens) -> Tokens:
        return await self._cognito.refresh(request.refresh_token)

    # -- accounts ----------------------------------------------------------------------------

    @handles(EnsureAccount)
    async def ensure_account(self, request: EnsureAccount) -> BrokerAccount:
        return _broker_account(await self._accounts.ensure(request.tenant_id, request.plan))

    @handles(FindAccount)
    async def find_account(self, request: FindAccount) -> BrokerAccount:
        item = await self._store.find_account_by_key(request.account)
        if item is None:
            raise AccountMissing
        return _broker_account(item)

    @handles(CompareAccounts)
    async def compare_accounts(self, request: CompareAccounts) -> AccountComparison:
        compared = await self._reconciler.compare(push=request.push)
        differing = [tenant_id for tenant_id, differs in compared.items() if differs]
        return AccountComparison(
            known=len(compared), differing=len(differing), examples=differing[:MAX_EXAMPLES]
        )

    @handles(SealSeeds)
    async def seal_seeds(self, request: SealSeeds) -> SealedSeeds:  # noqa: ARG002 - has no fields
        return await self._accounts.seal_seeds()

    @handles(IssueAccountKey)
    async def issue_account_key(self, request: IssueAccountKey) -> IssuedKeyPair:  # noqa: ARG002
        return await self._signing_keys.issue()

    @handles(ListSigningKeys)
    async def list_signing_keys(self, request: ListSigningKeys) -> SigningKeys:
        return await self._signing_keys.list_keys(request.cursor)

    @handles(RevokeSigningKey)
    async def revoke_signing_key(self, request: RevokeSigningKey) -> SigningKey:
        return await self._signing_keys.revoke(request.nkey_public)

    # -- clients -----------------------------------------------------------------------------

    @handles(IssueClientKey)
    async def issue_client_key(self, request: IssueClientKey) -> IssuedKeyPair:  # noqa: ARG002
        await self._issuance_limits.acquire_key(authorization.require_role(Role.MEMBER))
        pair = create_key_pair(KeyKind.USER)
        return IssuedKeyPair(nkey_public=pair.public, nkey_seed=pair.seed)

    @handles(CreateClientChallenge)
    async def create_client_challenge(self, request: CreateClientChallenge) -> ClientChallenge:
        if len(request.client_id) > MAX_ID_LENGTH:
            field = FieldError(field="client_id", message=f"Expected `str` of length <= {MAX_ID_LENGTH}")
            raise InvalidRequest(field.message, errors=(field,))
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        expires_at = await self._store.create_challenge(
            nonce, request.client_id, self._settings.challenge_ttl_s
        )
        return ClientChallenge(nonce=nonce, expires_at=datetime.fromtimestamp(expires_at, UTC))

    @handles(AuthenticateClient)
    async def authenticate_client(self, request: AuthenticateClient) -> ClientIdentity:
        if request.stored:
            await self._require_challenge(request.nonce, request.client_id)
        client = await self._client_authenticator.authenticate(
            client_id=request.client_id,
            nkey=request.nkey,
            nonce=request.nonce,
            signature=request.signature,
        )
        return await to_identity(client, self._accounts)

    @handles(IssueClientToken)
    async def issue_client_token(self, request: IssueClientToken) -> ClientToken:
        await self._require_challenge(request.nonce, request.client_id)
        client = await self._client_authenticator.authenticate(
            client_id=request.client_id, nonce=request.nonce, signature=request.signature
        )
        return await self._client_tokens.issue(client, request)

    @handles(AuthenticateClientToken)
    async def authenticate_client_token(self, request: AuthenticateClientToken) -> TokenIdentity:
        return await self._client_tokens.authenticate(request)

    @handles(IssueBridgeCredentials)
    async def issue_bridge_credentials(self, request: IssueBridgeCredentials) -> BridgeCredentials:
        try:
            decode_public(request.nkey_public, KeyKind.USER)
        except InvalidNKeyError as error:
            raise InvalidRequest(str(error)) from None
        signing = await self._accounts.get_signing_account(request.tenant_id)
        if request.account is AccountKind.STREAMS:
            account, key = signing.streams_account, signing.streams_key
            claims = history_user_claims(tenant_id=request.tenant_id, account=account)
        else:
            account, key = signing.item.account, signing.signing_key
            claims = bridge_user_claims(tenant_id=request.tenant_id, account=account)
        jwt = encode(
            claims,
            issuer=key,
            subject=request.nkey_public,
            name=f"gateway {request.server_id}",
            issued_at=int(time.time()),
        )
        return BridgeCredentials(jwt=jwt, account=account)

    # -- streams -----------------------------------------------------------------------------

    @handles(EnsureStream)
    async def ensure_stream(self, request: EnsureStream) -> Empty:
        await self._streams.ensure(request)
        return Empty()

    @handles(FinishStreamMove)
    async def finish_stream_move(self, request: FinishStreamMove) -> Empty:
        await self._streams.finish_move(request.tenant_id)
        return Empty()

    @handles(RemoveStream)
    async def remove_stream(self, request: RemoveStream) -> Empty:
        await self._streams.delete(request.tenant_id, request.stream)
        return Empty()

    @handles(PurgeStream)
    async def purge_stream(self, request: PurgeStream) -> PurgedStream:
        return PurgedStream(last_seq=await self._streams.purge(request))

    @handles(ListStreamAccounts)
    async def list_stream_accounts(self, request: ListStreamAccounts) -> StreamAccountPage:
        return await self._stream_accounts.list_page(request.from_tenant)

    @handles(IssueStreamCredentials)
    async def issue_stream_credentials(self, request: IssueStreamCredentials) -> StreamCredentials:
        return await self._stream_accounts.issue(request)

    async def _require_challenge(self, nonce: str, client_id: str) -> None:
        """Consumes a nonce. Raises AuthenticationFailed for one that is not open for this client."""
        # DynamoDB rejects empty and oversized keys, so malformed input is not looked up.
        possible = len(nonce) == NONCE_LENGTH and len(client_id) <= MAX_ID_LENGTH
        if not possible or not await self._store.consume_challenge(nonce, client_id):
            self._client_authenticator.reject(client_id=client_id)


def _broker_account(item: AccountItem) -> BrokerAccount:
    return BrokerAccount(account=item.account, tenant_id=item.tenant_id, platform_key=item.platform_key)
