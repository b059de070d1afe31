"""Settings from environment variables, declared as one Struct per service.

A field `name: Annotated[int, env("Description.", unit="seconds", ge=1)] = 30` reads `ARTCAFE_NAME`, or the variable
given by `env(name=...)`. The table in docs/reference/settings.md is generated from these declarations.
"""

import os
import socket
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T", bound=msgspec.Struct)


class SettingsError(ValueError):
    """A missing or invalid variable or key file; the message names it in one line."""


def env(doc: str, *, name: str = "", unit: str = "", secret: bool = False, ge: float | None = None) -> Meta:
    """The description and constraints of a setting."""
    return Meta(description=doc, ge=ge, extra={"env": name, "unit": unit, "secret": secret})


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the reference table of settings."""

    field: str
    env: str
    doc: str
    unit: str
    default: str


def list_variables(settings: type[msgspec.Struct]) -> list[Variable]:
    """The variables that a settings class reads, in the order of its fields."""
    hints = typing.get_type_hints(settings, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(settings):
        meta = next(m for m in hints[field.name].__metadata__ if isinstance(m, Meta))
        extra = meta.extra or {}
        default = "(required)" if field.required else _format_default(field)
        rows.append(
            Variable(
                field=field.name,
                env=extra["env"] or f"ARTCAFE_{field.name.upper()}",
                doc=meta.description or "",
                unit=extra["unit"],
                default=default,
            )
        )
    return rows


def load(settings: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Read the settings of a service. Raises SettingsError for the first missing or invalid variable."""
    source = os.environ if environ is None else environ
    hints = typing.get_type_hints(settings, include_extras=True)
    values: dict[str, Any] = {}
    for row in list_variables(settings):
        raw = source.get(row.env)
        if raw is None or raw == "":
            if row.default == "(required)":
                raise SettingsError(f"{row.env} is required: {row.doc}")
            continue
        try:
            values[row.field] = _convert(raw, hints[row.field])
        except (msgspec.ValidationError, ValueError) as error:
            raise SettingsError(f"{row.env} is not valid: {error}") from None
    return settings(**values)


def _convert(raw: str, hint: Any) -> Any:
    annotated = typing.get_args(hint)[0]
    alternatives = typing.get_args(annotated) or (annotated,)
    if Path in alternatives:
        return Path(raw)
    if isinstance(annotated, types.UnionType) and str in alternatives:
        return raw
    return msgspec.convert(raw, hint, strict=False)


def _format_default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "(derived)"
    if field.default is None or field.default == "":
        return "(none)"
    return str(field.default)


SECRET_BYTES = 32


def read_key(path: Path) -> str:
    """Read a file of the keys directory as text. Raises SettingsError."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"ARTCAFE_KEYS_DIR: cannot read {path}: {error}") from None


def read_secret(path: Path) -> bytes:
    """Read a key of 32 bytes from a file of 64 hexadecimal digits. Raises SettingsError."""
    text = read_key(path)
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise SettingsError(
            f"ARTCAFE_KEYS_DIR: {path} does not contain {2 * SECRET_BYTES} hexadecimal digits"
        )
    return secret


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of every service."""

    nats_url: Annotated[str, env("The URLs of the NATS servers, separated by commas.", name="NATS_URL")] = (
        "nats://127.0.0.1:4222"
    )
    keys_dir: Annotated[
        Path,
        env("The directory with this service's NATS credentials and keys, from `artcafe bootstrap`."),
    ] = Path("keys")
    server_id: Annotated[str, env("The name of this server in logs, metrics and the connection table.")] = (
        msgspec.field(default_factory=socket.gethostname)
    )
    log_level: Annotated[str, env("The minimum level of log messages: debug, info, warning or error.")] = (
        "info"
    )


class StoreSettings(ServiceSettings, frozen=True, kw_only=True):
    """The settings of every service with DynamoDB tables.

    botocore reads credentials and endpoints from its own variables (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …).
    """

    aws_region: Annotated[str, env("The AWS region.", name="AWS_REGION")] = "us-east-1"
    table_prefix: Annotated[str, env("The prefix of the names of the DynamoDB tables.")] = "artcafe-"
