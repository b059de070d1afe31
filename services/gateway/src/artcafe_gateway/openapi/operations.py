"""One route, told in OpenAPI's terms: what it takes, what it gives, what it refuses.

A route declares `commands=[Command, …]`: the first is the type of its body or query, and all of them
contribute the errors that they declare. A route may also declare `request_type` (another type),
`server_fields` (fields that the server sets), `response_type` (where the return annotation is bytes),
`extra_statuses` (further statuses with the same body), `plain_text` and `errors` (further errors).
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
from artcafe_common.contracts.identity.users import InvalidToken, ProviderUnavailable
from artcafe_common.contracts.tenancy.members import TenantRequired
from artcafe_gateway.errors import RateLimited
from artcafe_gateway.http.idempotency_store import IdempotencyInProgress, IdempotencyKeyReused
from artcafe_gateway.http.problems import BadRequest
from artcafe_gateway.http.request import BodyTooLarge, NotFound

_WITH_BODY = {"POST", "PUT"}
_OF_THE_BUS = (ServiceUnavailable, StoreUnavailable, DeadlineExceeded, BadGateway)
_OF_PEOPLE = (Unauthenticated, InvalidToken, ProviderUnavailable, RateLimited, *_OF_THE_BUS)


class Operation:
    """What a route's declaration and signature say."""

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
        self.does: list[type[Command[Any]]] = self.opt.get("commands", [])
        self.path_fields = [part[1:-1] for part in path.split("/") if part.startswith("{")]

    @property
    def about_tag(self) -> str:
        """What its controller says of itself."""
        function = self.handler.fn
        controller = getattr(inspect.getmodule(function), function.__qualname__.split(".")[0])
        return " ".join((controller.__doc__ or "").split())

    @property
    def of_member(self) -> bool:
        """Whether it acts for an organization."""
        return "tenant_user" in self.parameters

    @property
    def of_person(self) -> bool:
        """Whether somebody must have signed in."""
        return self.of_member or "user" in self.parameters

    @property
    def given(self) -> frozenset[str]:
        """The fields of `takes` that are not the caller's to give."""
        return frozenset([*self.path_fields, *self.opt.get("server_fields", [])])

    @property
    def takes(self) -> type[msgspec.Struct] | None:
        """What body or query are made of; None where there is nothing to give."""
        kind: type[msgspec.Struct] | None = self.opt.get("request_type", self.does[0] if self.does else None)
        if kind is None:
            return None
        named = {field.encode_name for field in msgspec.structs.fields(kind)}
        return kind if named - self.given else None

    @property
    def must_give(self) -> bool:
        """Whether anything in `takes` is required."""
        fields = msgspec.structs.fields(self.takes) if self.takes is not None else ()
        return any(field.required and field.encode_name not in self.given for field in fields)

    @property
    def has_body(self) -> bool:
        """Whether `takes` stands in the body."""
        return self.method in _WITH_BODY and self.takes is not None

    @property
    def has_query(self) -> bool:
        """Whether `takes` stands in the query."""
        return self.method == "GET" and self.takes is not None

    @property
    def gives(self) -> Any:
        """The type of a good answer's body."""
        if "response_type" in self.opt:
            return self.opt["response_type"]
        annotation = self.handler.parsed_fn_signature.return_type.annotation
        return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Response else annotation

    @property
    def statuses(self) -> list[int]:
        """The statuses of answers with that body."""
        return [self.handler.status_code or 200, *self.opt.get("extra_statuses", [])]

    @property
    def description(self) -> str:
        """What its command says of itself."""
        told = self.opt.get("request_type") or (self.does[0] if self.does else None)
        return " ".join((told.__doc__ or "").split()) if told is not None else ""

    @property
    def errors(self) -> list[type[CommandError]]:
        """Every refusal that a caller may get, by status and code."""
        found: set[type[CommandError]] = {InternalError, BadRequest, *self.opt.get("errors", [])}
        for command in self.does:
            found.update((*_OF_THE_BUS, *command.raises))
        if self.of_person:
            found.update(_OF_PEOPLE)
        if self.of_member:
            found.update((Forbidden, TenantRequired))
        if self.path_fields:
            found.add(NotFound)
        if self.takes is not None:
            found.add(InvalidRequest)
        if self.has_body:
            found.add(BodyTooLarge)
        if self.once:
            found.update(
                (InvalidRequest, IdempotencyInProgress, IdempotencyKeyReused, StoreUnavailable, BodyTooLarge)
            )
        return sorted(found, key=lambda kind: (kind.status, kind.code))

    @property
    def once(self) -> bool:
        """Whether it takes an Idempotency-Key."""
        return self.method == "POST" and self.of_person
