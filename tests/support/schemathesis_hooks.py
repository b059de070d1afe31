"""What no document can tell of requests that it allows; see schemathesis.toml beside this."""

import uuid

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def before_call(context, case, kwargs):
    """A key is used once, and a cursor is one that was given out; what is wrong on purpose stays wrong."""
    mode = case.meta.generation.mode if case.meta is not None else None
    if mode is GenerationMode.NEGATIVE:
        return
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if case.query:
        case.query.pop("cursor", None)
