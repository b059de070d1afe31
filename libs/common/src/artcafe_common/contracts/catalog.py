"""The catalog of every command, event and signal that the contracts declare."""

import inspect
import pkgutil
from importlib import import_module
from typing import Any, TypeVar

from artcafe_common import contracts
from artcafe_common.bus.command import Command, Event, Signal

M = TypeVar("M", Command[Any], Event, Signal)


def declared(kind: type[M]) -> list[type[M]]:
    """The message classes of a kind, by module and name; generic bases without a subject are left out."""
    return [
        message
        for module in pkgutil.walk_packages(contracts.__path__, f"{contracts.__name__}.")
        for _, message in inspect.getmembers(import_module(module.name), inspect.isclass)
        if issubclass(message, kind) and message.subject and message.__module__ == module.name
    ]
