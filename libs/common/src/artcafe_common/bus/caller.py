"""The context of a call: its verified caller, request id and trace, transferred in NATS headers."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Self

import msgspec
import structlog

from artcafe_common import tracing
from artcafe_common.bus.errors import Forbidden

CALLER_HEADER = "Artcafe-Caller"
TRACE_HEADER = "traceparent"
# How long the caller waits, from when the request arrives: the clocks of two hosts need not agree.
TIMEOUT_HEADER = "Artcafe-Timeout-Ms"
# How long a call waits for a store that does not respond, if its request has used a part of its time already.
PATIENCE_HEADER = "Artcafe-Patience-Ms"
# Names one attempt of a call, to ask whether an instance handles it.
ATTEMPT_HEADER = "Artcafe-Attempt"


class CallerContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The verified origin of a request.

    `actor` is `user:<id>`, `client:<id>`, `agent:<id>` or `service:<name>`. `tenant_id` is set only after the
    credential was checked against that tenant, `role` only for users.
    """

    request_id: str
    traceparent: str = ""
    tenant_id: str = ""
    actor: str = ""
    role: str = ""
    ip: str = ""
    user_agent: str = ""

    @classmethod
    def service(cls, name: str) -> Self:
        """The context of a call that a service makes by itself, with a new request id and trace."""
        return cls(request_id=new_request_id(), traceparent=new_traceparent(), actor=f"service:{name}")

    @property
    def actor_id(self) -> str:
        """The part of `actor` after the colon: a user id, a client id or a service name."""
        return self.actor.partition(":")[2]


# What a request started and runs for longer than this is no part of it any more.
OUTLIVED_S = 10.0
_current: ContextVar[CallerContext | None] = ContextVar("artcafe_caller", default=None)
# When the request began, in `time.monotonic()`.
_began_at: ContextVar[float | None] = ContextVar("artcafe_began_at", default=None)


def current_caller() -> CallerContext:
    """The caller of the current request; without a request, one that has no actor."""
    return _current.get() or CallerContext(request_id="")


def set_caller(caller: CallerContext) -> None:
    """Set the current caller of this task, and bind its ids to the task's log lines.

    While the request is traced, its traceparent is that of the current span.
    """
    if sampled := tracing.current_traceparent():
        caller = msgspec.structs.replace(caller, traceparent=sampled)
    _current.set(caller)
    structlog.contextvars.bind_contextvars(
        request_id=caller.request_id, traceparent=caller.traceparent, tenant_id=caller.tenant_id
    )


def begin_request() -> None:
    """Let the calls of this task share the time in which a request is answered."""
    _began_at.set(time.monotonic())


def request_began_at() -> float:
    """When the current request began, in `time.monotonic()`; now without a request."""
    began_at, now = _began_at.get(), time.monotonic()
    return now if began_at is None or now - began_at > OUTLIVED_S else began_at


@contextmanager
def traced(span: tracing.Span | None) -> Iterator[tracing.Span | None]:
    """Make a span the current one, and the parent of what the caller causes; nothing without a span."""
    with tracing.current(span):
        if span is not None:
            set_caller(current_caller())
        yield span


def current_tenant() -> str:
    """The verified tenant of the current request. Raises Forbidden if there is none."""
    if tenant_id := current_caller().tenant_id:
        return tenant_id
    raise Forbidden


def new_request_id() -> str:
    """A random request id."""
    return secrets.token_hex(8)


def new_traceparent() -> str:
    """A W3C Trace Context header of a new trace that is not sampled (https://www.w3.org/TR/trace-context/)."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def child_traceparent(parent: str) -> str:
    """The header of what the current span causes, or else of a child of `parent` that is not sampled.

    A malformed `parent` means a new trace.
    """
    if sampled := tracing.current_traceparent():
        return sampled
    parts = parent.split("-")
    if len(parts) != 4 or len(parts[1]) != 32 or len(parts[2]) != 16:  # noqa: PLR2004 - the W3C layout
        return new_traceparent()
    return f"00-{parts[1]}-{secrets.token_hex(8)}-00"
