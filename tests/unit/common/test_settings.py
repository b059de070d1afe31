"""Settings: an invalid value is reported in one line with the variable's name."""

import pytest

from artcafe_common.settings import SettingsError, list_variables, load
from artcafe_gateway.settings import Settings as Gateway
from artcafe_identity.settings import Settings as Identity
from artcafe_metering.settings import Settings as Metering
from artcafe_presence.settings import Settings as Presence
from artcafe_tenancy.settings import Settings as Tenancy

ALL = (Gateway, Identity, Metering, Presence, Tenancy)
GIVEN = {"ARTCAFE_OIDC_ISSUER": "https://issuer", "ARTCAFE_OIDC_CLIENT_ID": "app"}


@pytest.mark.parametrize("settings", ALL)
def test_required_settings_are_enough_to_load(settings):
    load(settings, GIVEN)
    load(settings, {**GIVEN, "ARTCAFE_UNKNOWN": "x"})
    for row in list_variables(settings):
        assert row.doc
        assert row.env == row.env.upper()


@pytest.mark.parametrize("missing", GIVEN)
def test_missing_variable_is_named(missing):
    for value in ({}, {missing: ""}):
        environ = {k: v for k, v in GIVEN.items() if k != missing} | value
        with pytest.raises(SettingsError) as error:
            load(Identity, environ)
        assert str(error.value).startswith(f"{missing} ")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ARTCAFE_PORT", "http"),
        ("ARTCAFE_PORT", "0"),
        ("ARTCAFE_PORT", "-1"),
        ("ARTCAFE_PORT", "80\n80"),
        ("ARTCAFE_OUTBOX_BYTES", "4 MiB"),
        ("ARTCAFE_OUTBOX_BYTES", "1"),
        ("ARTCAFE_HEARTBEAT_TIMEOUT_S", "soon"),
        ("ARTCAFE_HANDSHAKE_TIMEOUT_S", "0"),
    ],
)
def test_invalid_value_is_named(name, value):
    with pytest.raises(SettingsError) as error:
        load(Gateway, {name: value})
    assert str(error.value).startswith(f"{name} ")
    assert "\n" not in str(error.value)
