"""`Idempotency-Key`: a POST that is repeated with the same key is processed once."""

from typing import Any

import structlog
from litestar import Response
from litestar.connection import Request
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from artcafe_common.bus.errors import CommandError, FieldError, InvalidRequest, StoreUnavailable
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import provide_tenant_user, provide_user
from artcafe_gateway.http.idempotency_store import IdempotencyClaim, IdempotencyStore, StoredResponse
from artcafe_gateway.http.problems import command_error, http_error

HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
TOO_MANY_REQUESTS = 429
log = structlog.get_logger()


class IdempotencyMiddleware(ASGIMiddleware):
    """Covers every POST of an authenticated user, with or without an organization.

    Error responses are stored too, except 429 and 5xx: those ask the client to repeat the request.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, gateway: Gateway, store: IdempotencyStore) -> None:
        self._gateway = gateway
        self._store = store

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request: Request[Any, Any, Any] = Request(scope, receive=receive, send=send)
        keys = request.headers.getall(HEADER, []) if request.method == "POST" else []
        parameters = request.route_handler.parsed_fn_signature.parameters if keys else {}
        if "tenant_user" not in parameters and "user" not in parameters:
            await next_app(scope, receive, send)
            return
        try:
            claim = await self._claim(request, keys, with_tenant="tenant_user" in parameters)
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
        # Stored before it is sent: a response that a client has seen can be repeated.
        await self._settle(claim, response)
        await _send(response, send)

    async def _claim(
        self, request: Request[Any, Any, Any], keys: list[str], *, with_tenant: bool
    ) -> IdempotencyClaim | StoredResponse:
        key = _validate_key(keys)
        user = await (provide_tenant_user if with_tenant else provide_user)(request, self._gateway)
        path = request.scope["path"].rstrip("/")
        query = request.scope["query_string"].decode("latin-1")
        return await self._store.claim(
            owner=f"{user.caller.tenant_id}|{user.caller.actor}",
            key=key,
            request=f"{path}?{query}\n".encode() + await request.body(),
        )

    async def _settle(self, claim: IdempotencyClaim, response: StoredResponse) -> None:
        try:
            if response.status == TOO_MANY_REQUESTS or response.status >= 500:  # noqa: PLR2004 - server errors
                await self._store.release(claim)
            else:
                await self._store.complete(claim, response)
        except StoreUnavailable:
            # The request was processed, so its response is sent. Until the claim expires a repetition is refused.
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
