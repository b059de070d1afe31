"""Every command of presence has an endpoint."""

import inspect

from artcafe_common.bus.command import Command
from artcafe_common.bus.endpoints import collect_handlers
from artcafe_common.contracts import presence
from artcafe_common.settings import list_variables
from artcafe_presence.endpoints import Endpoints
from artcafe_presence.settings import Settings


def test_every_command_has_an_endpoint():
    declared = {
        kind
        for _, kind in inspect.getmembers(presence, inspect.isclass)
        if issubclass(kind, Command) and kind.subject
    }
    assert set(collect_handlers(Endpoints)) == declared


def test_every_setting_is_documented():
    assert all(row.doc for row in list_variables(Settings))
