"""The tables and settings of tenancy."""

from artcafe_common.plans import Plan
from artcafe_common.settings import list_variables, load
from artcafe_tenancy.settings import Settings
from artcafe_tenancy.tables import TABLES


def test_table_names():
    assert {spec.name for spec in TABLES} == {
        "tenants",
        "user-tenants",
        "invitations",
        "clients",
        "channels",
        "user-profiles",
        "channel-subscriptions",
        "agents",
        "subjects",
        "activity-logs",
    }
    assert next(spec for spec in TABLES if spec.name == "activity-logs").ttl == "expires_at"


def test_default_plan_setting():
    assert load(Settings, {}).default_plan is Plan.FREE
    assert load(Settings, {"ARTCAFE_DEFAULT_PLAN": "pro"}).default_plan is Plan.PRO
    assert load(Settings, {}).organizations_per_user == 10
    assert "ARTCAFE_DEFAULT_PLAN" in {row.env for row in list_variables(Settings)}
