"""Finds what the code declares: errors, settings, routes, frames."""

import importlib
import inspect
import pkgutil
import re
from typing import Any

import msgspec
from litestar import Litestar
from litestar.routes import WebSocketRoute

from artcafe_common.bus.errors import CommandError, all_errors
from artcafe_common.settings import ServiceSettings, Variable, list_variables
from artcafe_gateway.api import create_api
from artcafe_gateway.openapi.asyncapi import build_asyncapi
from artcafe_gateway.openapi.rest import build_openapi

PACKAGES = (
    "artcafe_common",
    "artcafe_gateway",
    "artcafe_identity",
    "artcafe_metering",
    "artcafe_presence",
    "artcafe_tenancy",
)

# Its settings are those of `artcafe backup` and `artcafe restore`.
BACKUP = "artcafe_common.backup"


def import_all() -> None:
    """Imports every module, so that all subclasses are known; not the development stack's or `__main__`."""
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for info in pkgutil.walk_packages(path, f"{package}."):
            if not info.name.endswith("__main__") and ".dev." not in info.name:
                importlib.import_module(info.name)


def every_error() -> list[type[CommandError]]:
    """Every error class of every package, sorted by code."""
    import_all()
    return all_errors()


def every_setting() -> list[tuple[Variable, list[str]]]:
    """Each environment variable with the services that read it, shared variables first."""
    rows: dict[tuple[str, ...], tuple[Variable, list[str]]] = {}
    for service in (*PACKAGES[1:], BACKUP):
        module = importlib.import_module(f"{service}.settings")
        kinds = [
            each
            for each in vars(module).values()
            if inspect.isclass(each)
            and issubclass(each, ServiceSettings)
            and each.__module__ == module.__name__
        ]
        reader = "backup" if service == BACKUP else service.removeprefix("artcafe_")
        for kind in kinds:
            for variable in list_variables(kind):
                key = (variable.env, variable.doc, variable.unit, variable.default)
                rows.setdefault(key, (variable, []))[1].append(reader)
    return sorted(rows.values(), key=lambda row: (-len(row[1]), row[1], row[0].env))


def application() -> Litestar:
    """The gateway's application without a gateway behind it; only its routes are usable."""
    nothing: Any = None
    return create_api(nothing, nothing)


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document as a client reads it."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(build_openapi(application())))
    return document


def asyncapi_document() -> dict[str, Any]:
    """The AsyncAPI document as a client reads it."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(build_asyncapi()))
    return document


def every_route() -> tuple[set[tuple[str, str]], set[str]]:
    """(method, path) of each REST route, and the paths of WebSockets."""
    rest: set[tuple[str, str]] = set()
    sockets: set[str] = set()
    for route in application().routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        if isinstance(route, WebSocketRoute):
            sockets.add(path)
        else:
            rest |= {(method, path) for method in route.methods if method not in ("OPTIONS", "HEAD")}
    return rest, sockets


def every_frame() -> set[str]:
    """The `type` of each WebSocket frame."""
    document = asyncapi_document()
    return {
        document["components"]["messages"][key]["name"]
        for channel in document["channels"].values()
        if "ws" in channel.get("bindings", {})
        for key in channel["messages"]
    }
