"""`Idempotency-Key`: a POST that is repeated with the same key is processed once.

A repetition is answered only if its caller still has the role that the first request was executed with. A
response with a secret that is shown once is not stored and not repeated. An error is not stored: it means that nothing
was changed, or that the client should repeat the request.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from litestar import Response
from litestar.connection import Request
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from artcafe_common.authorization import includes
from artcafe_common.bus.errors import (
    CommandError,
    FieldError,
    Forbidden,
    InvalidRequest,
    StoreUnavailable,
)
from artcafe_common.contracts.tenancy.members import Role
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import (
    AuthenticatedUser,
    TenantCaller,
    TenantUser,
    provide_tenant_caller,
    provide_tenant_user,
    provide_user,
)
from artcafe_gateway.http.idempotency_store import (
    ExecutedAs,
    IdempotencyClaim,
    IdempotencyNotReplayable,
    IdempotencyStore,
    StoredResponse,
)
from artcafe_gateway.http.problems import command_error, http_error
from artcafe_gateway.http.request import receive_body

HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
FIRST_ERROR = 400
# No response of today is larger.
MAX_BODY_BYTES = 128 * 1024
# The fields of a response that hold a secret which is shown once.
SECRET_FIELDS = frozenset({"nkey_seed", "private_key"})
NOT_REPLAYABLE = "the first request was executed, and its response is not stored: a secret is shown only once (issue a new key)"
# The key of a request's state under which a route that creates an organization stores an ExecutedAs.
EXECUTED_AS = "artcafe_executed_as"
# By the dependency of a route.
_PROVIDERS: dict[
    str, Callable[[Request[Any, Any, Any], Gateway], Awaitable[AuthenticatedUser | TenantCaller]]
] = {
    "tenant_user": provide_tenant_user,
    "tenant_caller": provide_tenant_caller,
    "user": provide_user,
}
log = structlog.get_logger()


class IdempotencyMiddleware(ASGIMiddleware):
    """Covers every POST of an authenticated user, with or without an organization."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, gateway: Gateway, store: IdempotencyStore) -> None:
        self._gateway = gateway
        self._store = store

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request: Request[Any, Any, Any] = Request(scope, receive=receive, send=send)
        keys = request.headers.getall(HEADER, []) if request.method == "POST" else []
        parameters = request.route_handler.parsed_fn_signature.parameters if keys else {}
        provide = next((_PROVIDERS[name] for name in _PROVIDERS if name in parameters), None)
        if provide is None:
            await next_app(scope, receive, send)
            return
        try:
            user = await provide(request, self._gateway)
            claim = await self._claim(request, keys, user)
            if isinstance(claim, StoredResponse):
                await self._check_replay(claim, user)
        except CommandError as error:
            await _respond(command_error(request, error), request, receive, send)
            return
        except HTTPException as error:
            await _respond(http_error(request, error), request, receive, send)
            return
        if isinstance(claim, StoredResponse):
            headers = [*claim.headers, (b"idempotency-replayed", b"true")]
            await _send(StoredResponse(status=claim.status, headers=headers, body=claim.body), send)
            return
        recorder = _ResponseRecorder()
        await next_app(scope, receive, recorder)
        response = recorder.response()
        executed_as = request.scope["state"].get(EXECUTED_AS) or ExecutedAs(
            tenant_id=user.caller.tenant_id, role=user.caller.role
        )
        # Stored before it is sent: a response that a client has seen can be repeated.
        await self._settle(claim, _to_stored(response, executed_as))
        await _send(response, send)

    async def _claim(
        self, request: Request[Any, Any, Any], keys: list[str], user: AuthenticatedUser | TenantCaller
    ) -> IdempotencyClaim | StoredResponse:
        key = _validate_key(keys)
        path = request.scope["path"].rstrip("/")
        query = request.scope["query_string"].decode("latin-1")
        return await self._store.claim(
            owner=f"{user.caller.tenant_id}|{user.caller.actor}",
            key=key,
            request=f"{path}?{query}\n".encode() + await receive_body(request),
        )

    async def _check_replay(self, response: StoredResponse, user: AuthenticatedUser | TenantCaller) -> None:
        """Raises Forbidden if the caller's role is less than that of the first request, IdempotencyNotReplayable."""
        executed_as = response.executed_as
        # A client has no role; what it gets is no more than that it has published a message.
        if (
            isinstance(user, AuthenticatedUser | TenantUser)
            and executed_as is not None
            and executed_as.tenant_id
        ):
            # Looked up again, since a cached role may be outdated.
            lookup_cache = self._gateway.lookup_cache
            lookup_cache.invalidate_membership(user.identity.user_id, executed_as.tenant_id)
            membership = await lookup_cache.membership(user.identity, executed_as.tenant_id, user.caller)
            if not includes(membership.role, Role(executed_as.role)):
                raise Forbidden
        if response.withheld or executed_as is None:
            raise IdempotencyNotReplayable(NOT_REPLAYABLE)

    async def _settle(self, claim: IdempotencyClaim, response: StoredResponse) -> None:
        try:
            if response.status >= FIRST_ERROR:
                await self._store.release(claim)
            else:
                await self._store.complete(claim, response)
        except StoreUnavailable:
            # The request was processed, so its response is sent. Until Redis is back, a repetition is refused.
            log.warning("idempotent_response_not_stored", status=response.status)


class _ResponseRecorder:
    """Collects the response that the application sends."""

    def __init__(self) -> None:
        self._status = 500
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(bytes(name), bytes(value)) for name, value in message["headers"]]
        elif message["type"] == "http.response.body":
            self._body += message["body"]

    def response(self) -> StoredResponse:
        """The complete response."""
        return StoredResponse(status=self._status, headers=self._headers, body=bytes(self._body))


def _to_stored(response: StoredResponse, executed_as: ExecutedAs) -> StoredResponse:
    """The response to store: without headers and body if it has a secret or is large."""
    if len(response.body) > MAX_BODY_BYTES or has_secret(response.body):
        return StoredResponse(
            status=response.status, headers=[], body=b"", withheld=True, executed_as=executed_as
        )
    return msgspec.structs.replace(response, executed_as=executed_as)


def has_secret(body: bytes) -> bool:
    """Whether a response has a secret that is shown once."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return any(bytes(fields.get(name, b"null")) != b"null" for name in SECRET_FIELDS)


def _validate_key(keys: list[str]) -> str:
    key = keys[0]
    if len(keys) == 1 and 0 < len(key) <= MAX_KEY_LENGTH and key.isascii() and key.isprintable():
        return key
    message = f"Expected one value of 1 to {MAX_KEY_LENGTH} printable characters"
    raise InvalidRequest(f"{HEADER} is not valid", errors=(FieldError(field=HEADER, message=message),))


async def _respond(
    response: Response[bytes], request: Request[Any, Any, Any], receive: Receive, send: Send
) -> None:
    await response.to_asgi_response(app=None, request=request)(request.scope, receive, send)


async def _send(response: StoredResponse, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": False})
