"""`Idempotency-Key`: what a POST did is done once, however often its sender has to ask."""

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
from artcafe_gateway.http.auth import member, person
from artcafe_gateway.http.idempotency_store import IdempotencyClaim, IdempotencyStore, StoredResponse
from artcafe_gateway.http.problems import command_error, http_error

HEADER = "Idempotency-Key"
MAX_KEY = 255
TOO_MANY = 429
log = structlog.get_logger()


class IdempotencyMiddleware(ASGIMiddleware):
    """Covers every POST that somebody known makes, for an organization or not.

    Refusals are kept as well, save for those that say "later": 429, and all from 500 on.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, gateway: Gateway, store: IdempotencyStore) -> None:
        self._gateway = gateway
        self._store = store

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request: Request[Any, Any, Any] = Request(scope, receive=receive, send=send)
        given = request.headers.getall(HEADER, []) if request.method == "POST" else []
        asks_for = request.route_handler.parsed_fn_signature.parameters if given else {}
        if "member" not in asks_for and "person" not in asks_for:
            await next_app(scope, receive, send)
            return
        try:
            found = await self._begin(request, given, of_member="member" in asks_for)
        except CommandError as error:
            await _respond(command_error(request, error), request, receive, send)
            return
        except HTTPException as error:
            await _respond(http_error(request, error), request, receive, send)
            return
        if isinstance(found, StoredResponse):
            replayed = [*found.headers, (b"idempotency-replayed", b"true")]
            await _send(StoredResponse(status=found.status, headers=replayed, body=found.body), send)
            return
        recorder = _Recorder()
        await next_app(scope, receive, recorder)
        answer = recorder.answer()
        # Kept before it is told: whoever has seen it can see it again.
        await self._end(found, answer)
        await _send(answer, send)

    async def _begin(
        self, request: Request[Any, Any, Any], given: list[str], *, of_member: bool
    ) -> IdempotencyClaim | StoredResponse:
        key = _checked(given)
        someone = await (member if of_member else person)(request, self._gateway)
        caller = someone.caller
        path = request.scope["path"].rstrip("/")
        query = request.scope["query_string"].decode("latin-1")
        return await self._store.begin(
            owner=f"{caller.tenant_id}|{caller.actor}",
            key=key,
            request=f"{path}?{query}\n".encode() + await request.body(),
        )

    async def _end(self, claim: IdempotencyClaim, answer: StoredResponse) -> None:
        try:
            if answer.status == TOO_MANY or answer.status >= 500:  # noqa: PLR2004 - the class of errors
                await self._store.cancel(claim)
            else:
                await self._store.keep(claim, answer)
        except StoreUnavailable:
            # It is done, and its sender is told so; who asks again before the claim ends is refused.
            log.warning("answer_not_kept", status=answer.status)


class _Recorder:
    """Takes in an answer as the application sends it."""

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

    def answer(self) -> StoredResponse:
        """All of it."""
        return StoredResponse(status=self._status, headers=self._headers, body=bytes(self._body))


def _checked(given: list[str]) -> str:
    key = given[0]
    if len(given) == 1 and 0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable():
        return key
    field = FieldError(field=HEADER, message=f"Expected one value of 1 to {MAX_KEY} printable characters")
    raise InvalidRequest(f"{HEADER} is not valid", errors=(field,))


async def _respond(
    response: Response[bytes], request: Request[Any, Any, Any], receive: Receive, send: Send
) -> None:
    await response.to_asgi_response(app=None, request=request)(request.scope, receive, send)


async def _send(answer: StoredResponse, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
