"""NATS auth callout: authenticates a client by its NKey and issues its user JWT."""

import asyncio
import time

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from artcafe_common.backoff import Backoff
from artcafe_common.broker.claims import (
    AuthorizationRequest,
    AuthorizationResponse,
    InvalidJwtError,
    decode_authorization_request,
    encode,
)
from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.broker.system_account import nats_connection_id
from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError, ServiceUnavailable
from artcafe_common.connection_limit import reserve_connection
from artcafe_common.contracts.identity.accounts import AccountUpdated
from artcafe_common.contracts.identity.clients import ACCOUNT_BLOCKED, AuthenticationFailed
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_common.installation.nats_server import AUTHORIZATION_TIMEOUT_S
from artcafe_common.latency import LatencyHistogram
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.client_authenticator import ClientAuthenticator
from artcafe_identity.client_claims import client_user_claims
from artcafe_identity.message_quota import reports_only
from artcafe_identity.recent_logins import Login, RecentLogins

SUBJECT = "$SYS.REQ.USER.AUTH"
MAX_CONCURRENT_LOGINS = 256
# Logins that are being authenticated or wait for a store or service; the broker refuses further ones after its timeout.
MAX_PENDING_LOGINS = 4096
# Until shortly before the broker refuses the connection itself.
RESPONSE_TIMEOUT_S = AUTHORIZATION_TIMEOUT_S - 1
ATTEMPT_TIMEOUT_S = 3.0
RESERVE_DEADLINE_S = 0.8
RETRY_PAUSE_S = 0.1
MAX_RETRY_PAUSE_S = 1.0
# Refusals of which the client is told the reason.
_REFUSALS: tuple[type[CommandError], ...] = (*ACCOUNT_BLOCKED, PlanLimitReached)
log = structlog.get_logger()


class AuthCallout:
    """Responds to the broker's authorization requests; instances share them in a queue group.

    A login that cannot be decided now is tried again, and in the end not answered: libraries take any answer but a
    user for a wrong key.
    """

    def __init__(
        self,
        *,
        nc: Nats,
        key: KeyPair,
        client_authenticator: ClientAuthenticator,
        accounts: AccountRepository,
        bus: Bus,
        recent_logins: RecentLogins,
    ) -> None:
        self._nc = nc
        self._key = key
        self._client_authenticator = client_authenticator
        self._accounts = accounts
        self._bus = bus
        self._recent_logins = recent_logins
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_LOGINS)
        self._running: set[asyncio.Task[None]] = set()
        self.results = {"accepted": 0, "rejected": 0, "unanswered": 0, "overloaded": 0}
        self.seconds = LatencyHistogram()

    @property
    def running_count(self) -> int:
        """How many logins are not answered yet."""
        return len(self._running)

    async def start(self) -> None:
        """Subscribe to authorization requests."""
        await self._nc.subscribe(SUBJECT, queue="identity", cb=self._on_message)
        await self._nc.flush()

    async def on_account_updated(self, signal: AccountUpdated) -> None:
        """Read a changed account again, and end the logins that were answered with its earlier state."""
        await self._accounts.on_updated(signal)
        await self._recent_logins.end_outdated(signal.tenant_id)

    async def _on_message(self, message: Msg) -> None:
        if len(self._running) >= MAX_PENDING_LOGINS:
            self.results["overloaded"] += 1
            return
        task = asyncio.create_task(self._respond(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _respond(self, message: Msg) -> None:
        set_caller(CallerContext.service("identity"))
        started_at = time.perf_counter()
        try:
            request = decode_authorization_request(message.data.decode()).nats
        except (InvalidJwtError, UnicodeDecodeError):
            log.warning("callout_request_invalid")
            return
        set_caller(msgspec.structs.replace(CallerContext.service("identity"), ip=request.client_info.host))
        try:
            async with asyncio.timeout(RESPONSE_TIMEOUT_S):
                response = AuthorizationResponse(jwt=await self._issue_when_available(request))
        except AuthenticationFailed:
            response = AuthorizationResponse(error="authentication failed")
        except _REFUSALS as error:
            log.info("callout_refused", reason=error.code)
            response = AuthorizationResponse(error=error.detail)
        except (CommandError, TimeoutError) as error:
            self.results["unanswered"] += 1
            log.warning("callout_unanswered", reason=str(error))
            return
        except Exception:
            self.results["unanswered"] += 1
            log.exception("callout_failed")
            return
        self.results["accepted" if response.jwt else "rejected"] += 1
        self.seconds.observe(time.perf_counter() - started_at)
        try:
            await message.respond(self._sign(request, response))
        except (nats.errors.Error, OSError):
            log.warning("callout_response_not_sent")

    async def _issue_when_available(self, request: AuthorizationRequest) -> str:
        backoff = Backoff(RETRY_PAUSE_S, MAX_RETRY_PAUSE_S)
        while True:
            try:
                async with self._slots, asyncio.timeout(ATTEMPT_TIMEOUT_S):
                    return await self._issue_user_jwt(request)
            except AuthenticationFailed:
                raise
            except _REFUSALS:
                raise
            except (CommandError, TimeoutError) as error:
                log.debug("callout_postponed", reason=str(error))
            await asyncio.sleep(backoff.next_pause_s())

    async def _issue_user_jwt(self, request: AuthorizationRequest) -> str:
        if not request.connect_opts.nkey:
            raise AuthenticationFailed
        client = await self._client_authenticator.authenticate(
            nkey=request.connect_opts.nkey,
            nonce=request.client_info.nonce,
            signature=request.connect_opts.sig,
        )
        account = await self._accounts.get_active_account(client.tenant_id)
        if not self._client_authenticator.is_current(client):
            # It changed meanwhile, or may have: the login is tried again.
            raise ServiceUnavailable("the client is not known to be current")
        may_publish = not account.item.is_quota_exhausted
        connection = request.server_id.id, request.client_info.id
        self._recent_logins.record(*connection, Login(client=client, may_publish=may_publish))
        await reserve_connection(
            self._bus,
            caller=msgspec.structs.replace(CallerContext.service("identity"), tenant_id=client.tenant_id),
            plan=account.item.plan,
            connection_id=nats_connection_id(*connection),
            deadline_s=RESERVE_DEADLINE_S,
        )
        claims = client_user_claims(
            tenant_id=client.tenant_id,
            client_id=client.client_id,
            account=account.item.account,
            permissions=client.permissions,
        )
        if not may_publish:
            claims = reports_only(claims, client.tenant_id, client.client_id)
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
