"""What the code base declares, found by looking through all of it."""

import importlib
import inspect
import pkgutil
import re

from litestar.routes import WebSocketRoute

from artcafe_common.bus.errors import CommandError
from artcafe_common.settings import ServiceSettings, variables

PACKAGES = (
    "artcafe_common",
    "artcafe_gateway",
    "artcafe_identity",
    "artcafe_metering",
    "artcafe_presence",
    "artcafe_tenancy",
)


def every_error():
    """Every error class of the system, the nameless base aside."""
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for info in pkgutil.walk_packages(path, f"{package}."):
            if not info.name.endswith("__main__") and ".dev." not in info.name:
                importlib.import_module(info.name)

    def below(kind):
        for each in kind.__subclasses__():
            if each.__module__.startswith("artcafe_"):
                # One with an underscore is a private shade of its parent, and bears the parent's code.
                if not each.__name__.startswith("_"):
                    yield each
                yield from below(each)

    return sorted(set(below(CommandError)), key=lambda error: error.code)


def every_setting():
    """Each variable with the services that read it: (variable, services), shared ones first."""
    rows = {}
    for service in PACKAGES[1:]:
        module = importlib.import_module(f"{service}.settings")
        kinds = [
            each
            for each in vars(module).values()
            if inspect.isclass(each)
            and issubclass(each, ServiceSettings)
            and each.__module__ == module.__name__
        ]
        for kind in kinds:
            for variable in variables(kind):
                key = (variable.env, variable.doc, variable.unit, variable.default)
                rows.setdefault(key, (variable, []))[1].append(service.removeprefix("artcafe_"))
    return sorted(rows.values(), key=lambda row: (-len(row[1]), row[1], row[0].env))


def settings_table():
    """The table of docs/reference/settings.md."""
    lines = ["| variable | default | unit | read by | what it is |", "|---|---|---|---|---|"]
    for variable, services in every_setting():
        read_by = "all" if len(services) == len(PACKAGES) - 1 else ", ".join(services)
        cells = (f"`{variable.env}`", f"`{variable.default}`", variable.unit, read_by, variable.doc)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def every_route():
    """(method, path) of each REST route, as the documents write it, and the WebSocket paths."""
    api = importlib.import_module("artcafe_gateway.api").create_api(None, None)
    rest, sockets = set(), set()
    for route in api.routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        if isinstance(route, WebSocketRoute):
            sockets.add(path)
        else:
            rest |= {(method, path) for method in route.methods if method not in ("OPTIONS", "HEAD")}
    return rest, sockets


def every_frame():
    """The `type` of each WebSocket frame."""
    module = importlib.import_module("artcafe_gateway.wire.frames")
    tags = {
        each.__struct_config__.tag
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, module.Frame | module.Out)
    }
    # These are written by hand, once for many sockets.
    return {tag for tag in tags if tag and tag.islower()} | {
        "message",
        "reply",
        "channel_message",
        "topic_preview_message",
    }


if __name__ == "__main__":
    print(settings_table())
