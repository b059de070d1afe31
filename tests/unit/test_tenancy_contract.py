"""What tenancy declares, and what it answers."""

import inspect

from artcafe_common.bus.command import Command
from artcafe_common.bus.endpoints import collect
from artcafe_common.contracts import activity, profiles, tenancy
from artcafe_common.plans import Plan
from artcafe_common.settings import load, variables
from artcafe_tenancy.endpoints import Endpoints
from artcafe_tenancy.settings import TenancySettings
from artcafe_tenancy.tables import TABLES


def test_every_command_has_exactly_one_endpoint():
    declared = {
        kind
        for module in (tenancy, activity, profiles)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Command) and kind is not Command
    }
    assert set(collect(Endpoints)) == declared


def test_the_tables_are_those_of_the_specification():
    assert {spec.name for spec in TABLES} == {
        "tenants",
        "user-tenants",
        "clients",
        "channels",
        "user-profiles",
        "channel-subscriptions",
        "agents",
        "subjects",
        "activity-logs",
    }
    assert next(spec for spec in TABLES if spec.name == "activity-logs").ttl == "expires_at"


def test_settings():
    assert load(TenancySettings, {}).default_plan is Plan.FREE
    assert load(TenancySettings, {"ARTCAFE_DEFAULT_PLAN": "pro"}).default_plan is Plan.PRO
    assert "ARTCAFE_DEFAULT_PLAN" in {row.env for row in variables(TenancySettings)}
