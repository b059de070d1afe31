"""NATS auth callout: authenticates a client by its NKey and issues its user JWT."""

import asyncio
import time

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from artcafe_common.broker.claims import (
    AuthorizationRequest,
    AuthorizationResponse,
    InvalidJwtError,
    decode_authorization_request,
    encode,
)
from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.clients import AuthenticationFailed
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.client_authenticator import ClientAuthenticator
from artcafe_identity.tenant_claims import client_user_claims

SUBJECT = "$SYS.REQ.USER.AUTH"
MAX_CONCURRENT_LOGINS = 256
# Below nats-server's authorization timeout of 2 s, after which it rejects the connection.
RESPONSE_TIMEOUT_S = 1.8
log = structlog.get_logger()


class AuthCallout:
    """Responds to the broker's authorization requests; instances share them in a queue group."""

    def __init__(
        self,
        *,
        nc: Nats,
        key: KeyPair,
        client_authenticator: ClientAuthenticator,
        accounts: AccountRepository,
    ) -> None:
        self._nc = nc
        self._key = key
        self._client_authenticator = client_authenticator
        self._accounts = accounts
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_LOGINS)
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Subscribe to authorization requests."""
        await self._nc.subscribe(SUBJECT, queue="identity", cb=self._on_message)
        await self._nc.flush()

    async def _on_message(self, message: Msg) -> None:
        await self._slots.acquire()
        task = asyncio.create_task(self._respond(message))
        self._running.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slots.release()

    async def _respond(self, message: Msg) -> None:
        set_caller(CallerContext.service("identity"))
        try:
            request = decode_authorization_request(message.data.decode()).nats
        except (InvalidJwtError, UnicodeDecodeError):
            log.warning("callout_request_invalid")
            return
        set_caller(msgspec.structs.replace(CallerContext.service("identity"), ip=request.client_info.host))
        try:
            async with asyncio.timeout(RESPONSE_TIMEOUT_S):
                response = AuthorizationResponse(jwt=await self._issue_user_jwt(request))
        except AuthenticationFailed:
            response = AuthorizationResponse(error="authentication failed")
        except (CommandError, TimeoutError) as error:
            log.warning("callout_unavailable", reason=str(error))
            response = AuthorizationResponse(error="authentication is not available")
        except Exception:
            log.exception("callout_failed")
            response = AuthorizationResponse(error="authentication is not available")
        try:
            await message.respond(self._sign(request, response))
        except (nats.errors.Error, OSError):
            log.warning("callout_response_not_sent")

    async def _issue_user_jwt(self, request: AuthorizationRequest) -> str:
        if not request.connect_opts.nkey:
            raise AuthenticationFailed
        client = await self._client_authenticator.authenticate(
            nkey=request.connect_opts.nkey,
            nonce=request.client_info.nonce,
            signature=request.connect_opts.sig,
        )
        account = await self._accounts.get_signing_account(client.tenant_id)
        claims = client_user_claims(
            tenant_id=client.tenant_id,
            client_id=client.client_id,
            account=account.item.account,
            permissions=client.permissions,
        )
        return encode(
            claims,
            issuer=account.signing_key,
            subject=request.user_nkey,
            name=client.client_id,
            issued_at=int(time.time()),
        )

    def _sign(self, request: AuthorizationRequest, response: AuthorizationResponse) -> bytes:
        return encode(
            response,
            issuer=self._key,
            subject=request.user_nkey,
            name="identity",
            issued_at=int(time.time()),
            audience=request.server_id.id,
        ).encode()
