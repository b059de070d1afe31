"""Settings from the environment, declared once as a Struct per service.

A field is `name: Annotated[int, env("what it is", unit="seconds", ge=1)] = 30`; its variable is
`ARTCAFE_NAME` unless `env(name=...)` says otherwise. The table in docs/reference/settings.md comes from
these declarations.
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
    """A variable that is missing or does not fit; the message names it."""


def env(doc: str, *, name: str = "", unit: str = "", secret: bool = False, ge: float | None = None) -> Meta:
    """Describe a setting for the reader and the parser."""
    return Meta(description=doc, ge=ge, extra={"env": name, "unit": unit, "secret": secret})


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of settings."""

    field: str
    env: str
    doc: str
    unit: str
    default: str


def variables(settings: type[msgspec.Struct]) -> list[Variable]:
    """Every variable that a settings class reads, in order."""
    hints = typing.get_type_hints(settings, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(settings):
        meta = next(m for m in hints[field.name].__metadata__ if isinstance(m, Meta))
        extra = meta.extra or {}
        default = "(required)" if field.required else _shown(field)
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
    """The settings of a service; SettingsError with one line that names the first bad variable."""
    source = os.environ if environ is None else environ
    hints = typing.get_type_hints(settings, include_extras=True)
    values: dict[str, Any] = {}
    for row in variables(settings):
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
    kinds = typing.get_args(typing.get_args(hint)[0]) or (typing.get_args(hint)[0],)
    if Path in kinds:
        return Path(raw)
    if isinstance(typing.get_args(hint)[0], types.UnionType) and str in kinds:
        return raw
    return msgspec.convert(raw, hint, strict=False)


def _shown(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "(derived)"
    if field.default is None or field.default == "":
        return "(none)"
    return str(field.default)


SECRET_BYTES = 32


def read_key(path: Path) -> str:
    """The text of a file of the keys directory; SettingsError with one line when it cannot be read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"ARTCAFE_KEYS_DIR: cannot read {path}: {error}") from None


def read_secret(path: Path) -> bytes:
    """The 32 bytes of a file of 64 hexadecimal digits; SettingsError with one line for anything else."""
    text = read_key(path)
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise SettingsError(f"ARTCAFE_KEYS_DIR: {path} is not a key of {2 * SECRET_BYTES} hexadecimal digits")
    return secret


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every service reads."""

    nats_url: Annotated[str, env("The NATS servers, separated by commas.", name="NATS_URL")] = (
        "nats://127.0.0.1:4222"
    )
    keys_dir: Annotated[
        Path,
        env("The directory that `artcafe bootstrap` made: NATS credentials and keys of this service."),
    ] = Path("keys")
    server_id: Annotated[str, env("Names this server in logs, metrics and the connection table.")] = (
        msgspec.field(default_factory=socket.gethostname)
    )
    log_level: Annotated[str, env("The least level that is logged: debug, info, warning, error.")] = "info"


class StoreSettings(ServiceSettings, frozen=True, kw_only=True):
    """What every service with a DynamoDB table reads besides.

    Credentials and endpoints are botocore's own variables (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …).
    """

    aws_region: Annotated[str, env("The AWS region.", name="AWS_REGION")] = "us-east-1"
    table_prefix: Annotated[str, env("The prefix of every DynamoDB table.")] = "artcafe-"
