"""Middleware for every REST call: request id, log entry, usage and metrics."""

import time
from typing import Any

import structlog
from litestar.connection import Request
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from artcafe_common.bus.caller import begin_request, set_caller, traced
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import REQUESTED_TENANT, TENANT_ID
from artcafe_gateway.http.head import IS_HEAD, allowed_methods
from artcafe_gateway.http.problems import PROBLEM_CODE
from artcafe_gateway.http.rate_limiting import add_rate_limit_headers
from artcafe_gateway.http.request import WAITED_S, caller_of
from artcafe_gateway.reporting.activity import report_access_denied

log = structlog.get_logger()


class RequestLog(ASGIMiddleware):
    """Sets the request id, logs the request without its query, and counts it."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._allowed_methods: dict[str, list[str]] = {}

    def _methods_of(self, request: Request[Any, Any, Any]) -> list[str]:
        # Litestar's response omits methods when several handlers share a path.
        if not self._allowed_methods:
            self._allowed_methods = {
                route.path_format: allowed_methods(
                    m for each in route.route_handlers for m in each.http_methods
                )
                for route in request.app.routes
                if isinstance(route, HTTPRoute)
            }
        return self._allowed_methods.get(request.scope["path_template"], [])

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request: Request[Any, Any, Any] = Request(scope)
        caller = caller_of(request)
        set_caller(caller)
        begin_request()
        method = "HEAD" if scope["state"].get(IS_HEAD) else request.method
        started_at = time.perf_counter()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableScopeHeaders(message)
                headers["X-Request-Id"] = caller.request_id
                if request.method == "OPTIONS":
                    headers["Allow"] = ", ".join(self._methods_of(request))
                add_rate_limit_headers(scope, headers)
            await send(message)

        span = self._gateway.bus.tracer.begin(method, "server", parent=caller.traceparent)
        try:
            with traced(span):
                try:
                    await next_app(scope, receive, send_with_headers)
                finally:
                    if span is not None:
                        span.rename(f"{method} {scope.get('path_template', '')}".rstrip())
                        span.set("http.response.status_code", status)
        finally:
            duration_s = time.perf_counter() - started_at - scope["state"].get(WAITED_S, 0.0)
            # Set for an authenticated member only: other calls are billed to no tenant.
            tenant_id = scope["state"].get(TENANT_ID)
            if tenant_id:
                self._gateway.usage.record_api_call(tenant_id)
                if code := scope["state"].get(PROBLEM_CODE):
                    self._gateway.usage.record_refusal(tenant_id, code)
            requested_tenant = scope["state"].get(REQUESTED_TENANT)
            if requested_tenant is not None and status == 403:  # noqa: PLR2004 - Forbidden
                user, requested_tenant_id = requested_tenant
                report_access_denied(
                    self._gateway.denials, user, requested_tenant_id[:64], method, scope["path"]
                )
            route = scope.get("path_template", "")
            self._gateway.metrics.record_request(method, route, status, duration_s)
            log.info(
                "request",
                method=method,
                path=scope["path"][:256],
                status=status,
                ms=round(duration_s * 1000, 2),
                tenant_id=tenant_id,
            )
