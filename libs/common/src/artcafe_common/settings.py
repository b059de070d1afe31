"""Settings from environment variables, declared as one Struct per service.

A field `name: Annotated[int, env("Description.", unit="seconds", ge=1)] = 30` reads `ARTCAFE_NAME`, or the variable
given by `env(name=...)`. For secrets, `ARTCAFE_NAME_FILE` names a file with the value instead. The table in
docs/reference/settings.md is generated from these declarations.
"""

import math
import os
import re
import socket
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from artcafe_common.sentinel_url import PLAIN, TLS, is_sentinel_url, parse_sentinel_url

T = TypeVar("T", bound=msgspec.Struct)


class SettingsError(ValueError):
    """A missing or invalid variable or key file; the message names it in one line."""


def env(
    doc: str,
    *,
    name: str = "",
    unit: str = "",
    secret: bool = False,
    ge: float | None = None,
    le: float | None = None,
    schemes: tuple[str, ...] = (),
    several: bool = False,
) -> Meta:
    """The description and constraints of a setting; one with `schemes` is a URL, or `several` with commas between."""
    extra = {"env": name, "unit": unit, "secret": secret, "schemes": schemes, "several": several}
    return Meta(description=doc, ge=ge, le=le, extra=extra)


NATS_SCHEMES = ("nats", "tls", "ws", "wss")
REDIS_SCHEMES = ("redis", "rediss", "unix", PLAIN, TLS)
HTTP_SCHEMES = ("https", "http")
MAX_PORT = 65535
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


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
        raw = _read(source, row.env)
        if raw == "":
            if row.default == "(required)":
                raise SettingsError(f"{row.env} is required: {row.doc}")
            continue
        try:
            values[row.field] = _convert(raw, hints[row.field])
        except (msgspec.ValidationError, ValueError) as error:
            raise SettingsError(f"{row.env} is not valid: {error}") from None
    loaded = settings(**values)
    _check_intervals(loaded)
    return loaded


def _check_intervals(loaded: msgspec.Struct) -> None:
    names = {row.field: row.env for row in list_variables(type(loaded))}
    for interval, timeout in getattr(loaded, "shorter_than", {}).items():
        if getattr(loaded, interval) > (limit := getattr(loaded, timeout)):
            raise SettingsError(
                f"{names[interval]} is not valid: it is longer than {names[timeout]}, {limit:g} s"
            )


def _read(source: Mapping[str, str], name: str) -> str:
    """The value of a variable, or the content of the file that `<name>_FILE` names; empty if neither is set."""
    value, path = source.get(name, ""), source.get(f"{name}_FILE", "")
    if not path:
        return value
    if value:
        raise SettingsError(f"{name} and {name}_FILE are both set")
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}_FILE: cannot read {path}: {error}") from None


def _convert(raw: str, hint: Any) -> Any:
    annotated = typing.get_args(hint)[0]
    alternatives = typing.get_args(annotated) or (annotated,)
    extra = next(each for each in hint.__metadata__ if isinstance(each, Meta)).extra or {}
    if _CONTROL_CHARACTER.search(raw):
        raise ValueError("it contains control characters")
    if extra["schemes"]:
        _check_urls(raw, extra["schemes"], several=extra["several"])
    if typing.get_origin(annotated) is Literal:
        raw = raw.lower()
    if Path in alternatives:
        return Path(raw)
    if isinstance(annotated, types.UnionType) and str in alternatives:
        return raw
    value = msgspec.convert(raw, hint, strict=False)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("it is not a finite number")
    return value


def _check_urls(raw: str, schemes: tuple[str, ...], *, several: bool) -> None:
    """Raises ValueError, whose text never contains the value, because a URL may contain a password."""
    expected = f"it must be a URL such as {schemes[0]}://host:port"
    for url in raw.split(",") if several else [raw]:
        if is_sentinel_url(url) and schemes is REDIS_SCHEMES:
            parse_sentinel_url(url)
            continue
        try:
            parts = urlsplit(url.strip())
            valid = parts.scheme in schemes and (parts.port is None or parts.port > 0)
        except ValueError:
            raise ValueError(expected) from None
        if not valid or not (parts.hostname or (parts.scheme == "unix" and parts.path)) or " " in url.strip():
            raise ValueError(expected)


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


MetricsPort = Annotated[
    int, env("The port of `/metrics` of a service without HTTP; 0 serves none.", ge=0, le=MAX_PORT)
]


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of every service.

    `shorter_than` maps the field of an interval to that of the timeout which it must not exceed.
    """

    shorter_than: ClassVar[dict[str, str]] = {}

    nats_url: Annotated[
        str,
        env(
            "The URLs of the NATS servers, separated by commas.",
            name="NATS_URL",
            schemes=NATS_SCHEMES,
            several=True,
        ),
    ] = "nats://127.0.0.1:4222"
    keys_dir: Annotated[
        Path,
        env("The directory with this service's NATS credentials and keys, from `artcafe bootstrap`."),
    ] = Path("keys")
    ca_file: Annotated[
        Path | None,
        env(
            "A PEM file with the authorities of the certificates of NATS and Redis, trusted besides the system's; "
            "read by operator commands too."
        ),
    ] = None
    server_id: Annotated[str, env("The name of this server in logs, metrics and the connection table.")] = (
        msgspec.field(default_factory=socket.gethostname)
    )
    revision: Annotated[
        str, env("The deployed source revision, as shown by health checks; set by the deployment.")
    ] = ""
    stream_replicas: Annotated[
        int,
        env("The copies that the broker keeps of each stream; 3 in a cluster of three servers.", ge=1, le=5),
    ] = 1
    traces_endpoint: Annotated[
        str,
        env(
            "The OTLP/HTTP endpoint that receives traces; without it there are none.",
            schemes=("http", "https"),
        ),
    ] = ""
    traces_ratio: Annotated[
        float, env("The part of requests and messages that a gateway traces, from 0 to 1.", ge=0, le=1)
    ] = 0.01
    traces_per_second: Annotated[
        float, env("How many traces one process begins at most.", unit="per second", ge=0.1, le=10_000)
    ] = 50
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        env("The minimum level of log messages: debug, info, warning or error."),
    ] = "info"


class StoreSettings(ServiceSettings, frozen=True, kw_only=True):
    """The settings of every service with DynamoDB tables.

    botocore reads credentials and endpoints from its own variables (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …).
    """

    aws_region: Annotated[str, env("The AWS region.", name="AWS_REGION")] = "us-east-1"
    table_prefix: Annotated[str, env("The prefix of the names of the DynamoDB tables.")] = "artcafe-"
    metrics_host: Annotated[str, env("The address on which a service without HTTP serves `/metrics`.")] = (
        "127.0.0.1"
    )
    metrics_port: MetricsPort = 0
