"""Around every REST call: its id, its log line, its counts."""

import time
from typing import Any

import structlog
from litestar.connection import Request
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from artcafe_common.bus.caller import set_caller
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.rate_limiting import add_rate_limit_headers
from artcafe_gateway.http.request import caller_of
from artcafe_gateway.reporting.activity import report_access_denied

log = structlog.get_logger()


class RequestLog(ASGIMiddleware):
    """Gives each call its request id, logs it without its query, and counts it."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._allowed: dict[str, list[str]] = {}

    def _methods(self, request: Request[Any, Any, Any]) -> list[str]:
        # Litestar's own answer may lack some where several handlers share a path.
        if not self._allowed:
            self._allowed = {
                route.path_format: sorted({m for each in route.route_handlers for m in each.http_methods})
                for route in request.app.routes
                if isinstance(route, HTTPRoute)
            }
        return self._allowed.get(request.scope["path_template"], [])

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request: Request[Any, Any, Any] = Request(scope)
        caller = caller_of(request)
        set_caller(caller)
        began = time.perf_counter()
        status = 500

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableScopeHeaders(message)
                headers["X-Request-Id"] = caller.request_id
                if request.method == "OPTIONS":
                    headers["Allow"] = ", ".join(self._methods(request))
                add_rate_limit_headers(scope, headers)
            await send(message)

        try:
            await next_app(scope, receive, observed)
        finally:
            took = time.perf_counter() - began
            # Set once a member was authenticated: what a stranger tries is billed to nobody.
            tenant_id = scope["state"].get("artcafe_tenant")
            if tenant_id:
                self._gateway.usage.record_api_call(tenant_id)
            asked = scope["state"].get("artcafe_asked")
            if asked is not None and status == 403:  # noqa: PLR2004 - Forbidden
                who, asked_for = asked
                report_access_denied(
                    self._gateway.denials, who, asked_for[:64], request.method, scope["path"]
                )
            self._gateway.metrics.requests.labels(request.method, str(status)).inc()
            self._gateway.metrics.seconds.observe(took)
            log.info(
                "request",
                method=request.method,
                path=scope["path"][:256],
                status=status,
                ms=round(took * 1000, 2),
                tenant_id=tenant_id,
            )
