"""The OpenAPI description of one route: request, responses, errors.

A route declares `commands=[Command, …]`: the first is the type of its body or query, and all of them
contribute the errors that they declare. A route may also declare `request_type` (another type),
`other_request_schema` (the JSON schema of bodies of another form), `server_fields` (fields that the server sets),
`response_type` (where the return annotation is bytes), `extra_statuses` (further statuses with the same body),
`plain_text`, `csv_rows` (the type of the rows in a response as CSV), `response_media_type` with `response_example` (a text of another type), `deleted_organization` (it serves
members of a deleted organization too), `optional_tenant` (the `X-Tenant-Id` header is not needed, but obeyed) and
`errors` (further errors). A route with a `tenant_caller` is for clients too.
"""

import inspect
import typing
from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from artcafe_common.bus.command import Command
from artcafe_common.bus.errors import (
    BadGateway,
    CommandError,
    DeadlineExceeded,
    Forbidden,
    InternalError,
    InvalidRequest,
    ServiceUnavailable,
    StoreUnavailable,
    Unauthenticated,
)
from artcafe_common.contracts.identity.clients import AccountDeleted, AccountSuspended
from artcafe_common.contracts.identity.users import InvalidToken, ProviderUnavailable
from artcafe_common.contracts.tenancy.conditional import ConditionalCommand
from artcafe_common.contracts.tenancy.members import TenantRequired
from artcafe_gateway.errors import HeadersTooLarge, RateLimited, RequestTooSlow
from artcafe_gateway.http.auth import ClientNotAllowed
from artcafe_gateway.http.content_encoding import UnsupportedContentEncoding
from artcafe_gateway.http.idempotency_store import (
    IdempotencyInProgress,
    IdempotencyKeyReused,
    IdempotencyNotReplayable,
)
from artcafe_gateway.http.problems import BadRequest
from artcafe_gateway.http.request import BodyTooLarge, NotFound

# The fields of commands that headers set.
_HEADER_FIELDS = ("if_match",)
_METHODS_WITH_BODY = {"POST", "PUT"}
_BUS_ERRORS = (ServiceUnavailable, StoreUnavailable, DeadlineExceeded, BadGateway)
_ANY_ERRORS = (InternalError, BadRequest, RequestTooSlow, HeadersTooLarge)
_USER_ERRORS = (Unauthenticated, InvalidToken, ProviderUnavailable, RateLimited, *_BUS_ERRORS)
_IDEMPOTENCY_ERRORS = (
    InvalidRequest,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    IdempotencyNotReplayable,
    StoreUnavailable,
    BodyTooLarge,
)


class Operation:
    """A route and method, as declared by its decorator and its signature."""

    def __init__(self, handler: HTTPRouteHandler, method: str, path: str) -> None:
        self.handler = handler
        self.method = method
        self.path = path
        self.opt = handler.opt
        self.parameters = frozenset(handler.parsed_fn_signature.parameters)
        self.tag = min(
            tag for layer in handler.ownership_layers for tag in getattr(layer, "tags", None) or []
        )
        self.summary = str(handler.summary)
        self.operation_id = f"{self.tag}_{handler.handler_name}"
        self.commands: list[type[Command[Any]]] = self.opt.get("commands", [])
        self.path_fields = [part[1:-1] for part in path.split("/") if part.startswith("{")]

    @property
    def tag_description(self) -> str:
        """The docstring of the controller."""
        function = self.handler.fn
        controller = getattr(inspect.getmodule(function), function.__qualname__.split(".")[0])
        return " ".join((controller.__doc__ or "").split())

    @property
    def requires_tenant(self) -> bool:
        """Whether the caller acts for an organization."""
        return "tenant_user" in self.parameters or self.accepts_clients

    @property
    def accepts_clients(self) -> bool:
        """Whether a client's token is accepted beside a person's."""
        return "tenant_caller" in self.parameters

    @property
    def accepts_tenant(self) -> bool:
        """Whether the `X-Tenant-Id` header applies."""
        if self.requires_tenant:
            return "account_id" not in self.path_fields
        return bool(self.opt.get("optional_tenant"))

    @property
    def requires_user(self) -> bool:
        """Whether the caller must be signed in."""
        return self.requires_tenant or "user" in self.parameters

    @property
    def accepts_idempotency_key(self) -> bool:
        """Whether the `Idempotency-Key` header applies."""
        return self.method == "POST" and self.requires_user

    @property
    def accepts_if_match(self) -> bool:
        """Whether the `If-Match` header applies."""
        return bool(self.commands) and issubclass(self.commands[0], ConditionalCommand)

    @property
    def returns_etag(self) -> bool:
        """Whether a successful response has an `ETag`."""
        fields = getattr(self.response_type, "__struct_fields__", ())
        return "updated_at" in fields and self.method != "DELETE"

    @property
    def server_fields(self) -> frozenset[str]:
        """The fields of `request_type` that the caller cannot set."""
        return frozenset([*self.path_fields, *_HEADER_FIELDS, *self.opt.get("server_fields", [])])

    @property
    def request_type(self) -> type[msgspec.Struct] | None:
        """The type of the body or query; None when all of its fields are set by the server."""
        kind = self._declared_request_type
        if kind is None:
            return None
        names = {field.encode_name for field in msgspec.structs.fields(kind)}
        return kind if names - self.server_fields else None

    @property
    def _declared_request_type(self) -> type[msgspec.Struct] | None:
        kind: type[msgspec.Struct] | None = self.opt.get("request_type")
        return kind or (self.commands[0] if self.commands else None)

    @property
    def request_required(self) -> bool:
        """Whether a field of `request_type` is required."""
        fields = msgspec.structs.fields(self.request_type) if self.request_type is not None else ()
        return any(field.required and field.encode_name not in self.server_fields for field in fields)

    @property
    def has_body(self) -> bool:
        """Whether `request_type` is the type of the body."""
        return self.method in _METHODS_WITH_BODY and self.request_type is not None

    @property
    def has_query(self) -> bool:
        """Whether `request_type` is the type of the query."""
        return self.method == "GET" and self.request_type is not None

    @property
    def response_type(self) -> Any:
        """The type of a successful response's body."""
        if "response_type" in self.opt:
            return self.opt["response_type"]
        annotation = self.handler.parsed_fn_signature.return_type.annotation
        return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Response else annotation

    @property
    def statuses(self) -> list[int]:
        """The statuses of responses with `response_type` as body."""
        return [self.handler.status_code or 200, *self.opt.get("extra_statuses", [])]

    @property
    def description(self) -> str:
        """The docstring of the request type."""
        kind = self._declared_request_type
        text = " ".join((kind.__doc__ or "").split()) if kind is not None else ""
        return text or f"{self.summary}."

    @property
    def errors(self) -> list[type[CommandError]]:
        """Every error that the route may return, by status and code."""
        errors: set[type[CommandError]] = {*_ANY_ERRORS, *self.opt.get("errors", [])}
        if self.method != "GET":
            errors.add(UnsupportedContentEncoding)
        for command in self.commands:
            errors.update((*_BUS_ERRORS, *command.raises))
        if self.requires_user:
            errors.update(_USER_ERRORS if self.accepts_clients else (*_USER_ERRORS, ClientNotAllowed))
        if self.requires_tenant:
            errors.update((Forbidden, TenantRequired, InvalidRequest, AccountSuspended))
            if not self.opt.get("deleted_organization"):
                errors.add(AccountDeleted)
        if self.path_fields:
            errors.add(NotFound)
        if self.request_type is not None or self.accepts_tenant:
            errors.add(InvalidRequest)
        if self.has_body:
            errors.add(BodyTooLarge)
        if self.accepts_idempotency_key:
            errors.update(_IDEMPOTENCY_ERRORS)
        return sorted(errors, key=lambda kind: (kind.status, kind.code))
