"""The broker's auth callout: who shows an NKey gets the user of its client, in its tenant's account."""

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
from artcafe_identity.client_authenticator import Clients
from artcafe_identity.tenant_claims import client_user

SUBJECT = "$SYS.REQ.USER.AUTH"
AT_ONCE = 256
# nats-server waits this long for an answer before it refuses the connection.
ANSWER_WITHIN_S = 1.8
log = structlog.get_logger()


class AuthCallout:
    """Answers the broker; instances share the work by queue group."""

    def __init__(self, *, nc: Nats, key: KeyPair, clients: Clients, registry: AccountRepository) -> None:
        self._nc = nc
        self._key = key
        self._clients = clients
        self._registry = registry
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to answer."""
        await self._nc.subscribe(SUBJECT, queue="identity", cb=self._receive)
        await self._nc.flush()

    async def _receive(self, message: Msg) -> None:
        await self._slots.acquire()
        task = asyncio.create_task(self._answer(message))
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slots.release()

    async def _answer(self, message: Msg) -> None:
        set_caller(CallerContext.service("identity"))
        try:
            request = decode_authorization_request(message.data.decode()).nats
        except (InvalidJwtError, UnicodeDecodeError):
            log.warning("callout_not_understood")
            return
        set_caller(msgspec.structs.replace(CallerContext.service("identity"), ip=request.client_info.host))
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                answer = AuthorizationResponse(jwt=await self._user(request))
        except AuthenticationFailed:
            answer = AuthorizationResponse(error="authentication failed")
        except (CommandError, TimeoutError) as error:
            log.warning("callout_not_possible", reason=str(error))
            answer = AuthorizationResponse(error="authentication is not possible now")
        except Exception:
            log.exception("callout_failed")
            answer = AuthorizationResponse(error="authentication is not possible now")
        try:
            await message.respond(self._signed(request, answer))
        except (nats.errors.Error, OSError):
            log.warning("callout_answer_not_sent")

    async def _user(self, request: AuthorizationRequest) -> str:
        if not request.connect_opts.nkey:
            raise AuthenticationFailed
        client = await self._clients.authenticate(
            nkey=request.connect_opts.nkey,
            nonce=request.client_info.nonce,
            signature=request.connect_opts.sig,
        )
        account = await self._registry.open(client.tenant_id)
        claims = client_user(
            tenant_id=client.tenant_id,
            client_id=client.client_id,
            account=account.item.account,
            permissions=client.permissions,
        )
        return encode(
            claims,
            issuer=account.signing,
            subject=request.user_nkey,
            name=client.client_id,
            issued_at=int(time.time()),
        )

    def _signed(self, request: AuthorizationRequest, answer: AuthorizationResponse) -> bytes:
        return encode(
            answer,
            issuer=self._key,
            subject=request.user_nkey,
            name="identity",
            issued_at=int(time.time()),
            audience=request.server_id.id,
        ).encode()
