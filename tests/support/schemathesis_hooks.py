"""Adjusts generated requests where the OpenAPI document cannot express a rule; see schemathesis.toml."""

import uuid

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def before_call(context, case, kwargs):
    """Give valid requests a fresh idempotency key no cursor, and no condition."""
    mode = case.meta.generation.mode if case.meta is not None else None
    if mode is GenerationMode.NEGATIVE:
        return
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    for name in ("If-Match", "If-None-Match"):
        if case.headers:
            case.headers.pop(name, None)
    if case.query:
        case.query.pop("cursor", None)
