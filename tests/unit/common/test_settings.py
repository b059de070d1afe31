"""Settings: an invalid value is reported in one line with the variable's name."""

import pytest

from artcafe_common import processors
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
        ("ARTCAFE_PORT", "65536"),
        ("ARTCAFE_LOG_LEVEL", "verbose"),
        ("ARTCAFE_HEARTBEAT_INTERVAL_S", "91"),
        ("ARTCAFE_PING_INTERVAL_S", "nan"),
        ("ARTCAFE_PING_INTERVAL_S", "inf"),
        ("ARTCAFE_SERVER_ID", "a\nb"),
        ("ARTCAFE_CORS_ORIGINS", "*"),
        ("ARTCAFE_CORS_ORIGINS", "console.example.com"),
        ("ARTCAFE_CORS_ORIGINS", "loopback, https://example.com/page"),
        ("NATS_URL", "broker"),
        ("NATS_URL", "127.0.0.1:4222"),
        ("NATS_URL", "nats://a:4222,nats://b:70000"),
        ("NATS_URL", "nats://a:4222,"),
        ("NATS_URL", "http://a:4222"),
        ("REDIS_URL", "127.0.0.1"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://host:port/0"),
        ("REDIS_URL", "redis://[::1/0"),
        ("ARTCAFE_PUBLIC_WEBSOCKET_URL", "https://example.org"),
        ("ARTCAFE_PUBLIC_NATS_URL", "example.org"),
        ("ARTCAFE_PUBLIC_NATS_WS_URL", "wss://two words"),
    ],
)
def test_invalid_value_is_named(name, value):
    with pytest.raises(SettingsError) as error:
        load(Gateway, {name: value})
    assert str(error.value).startswith(f"{name} ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        (Identity, {"ARTCAFE_OIDC_ISSUER": "the provider"}),
        (Identity, {"ARTCAFE_OIDC_JWKS_URL": "/keys.json"}),
        (Presence, {"ARTCAFE_HEARTBEAT_INTERVAL_S": "60", "ARTCAFE_HEARTBEAT_TIMEOUT_S": "30"}),
        (Presence, {"ARTCAFE_DEADLINE_CHECK_S": "100"}),
        (Metering, {"ARTCAFE_SETTLE_AFTER_S": "-1"}),
        (Tenancy, {"ARTCAFE_DEFAULT_PLAN": "gold"}),
        (Tenancy, {"ARTCAFE_METRICS_PORT": "70000"}),
    ],
)
def test_invalid_value_of_another_service_is_named(settings, environ):
    with pytest.raises(SettingsError) as error:
        load(settings, {**GIVEN, **environ})
    assert str(error.value).startswith(f"{next(iter(environ))} ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("url", ["redis://:secret@", "redis://user:secret@host:x/0", "http://:secret@host"])
def test_password_in_an_invalid_url_is_not_shown(url):
    with pytest.raises(SettingsError) as error:
        load(Gateway, {"REDIS_URL": url})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "environ",
    [
        {"ARTCAFE_LOG_LEVEL": "WARNING"},
        {"NATS_URL": "nats://a:4222, tls://b:4222"},
        {"NATS_URL": "nats://[::1]:4222"},
        {"REDIS_URL": "unix:///run/redis/redis.sock?db=1"},
        {"REDIS_URL": "rediss://:pass@host/0"},
        {"ARTCAFE_PUBLIC_WEBSOCKET_URL": "wss://ws.example.org/path"},
        {"ARTCAFE_HEARTBEAT_INTERVAL_S": "90"},
        {"ARTCAFE_CORS_ORIGINS": "loopback, https://example.com:8443"},
    ],
)
def test_valid_values_are_accepted(environ):
    load(Gateway, environ)


def test_a_value_may_be_in_a_file(tmp_path):
    secret = tmp_path / "redis-url"
    secret.write_text("redis://:secret@10.0.0.1:6379/0\n")
    assert load(Gateway, {"REDIS_URL_FILE": str(secret)}).redis_url == "redis://:secret@10.0.0.1:6379/0"
    for environ in (
        {"REDIS_URL_FILE": str(tmp_path / "missing")},
        {"REDIS_URL_FILE": str(secret), "REDIS_URL": "redis://127.0.0.1"},
    ):
        with pytest.raises(SettingsError) as error:
            load(Gateway, environ)
        assert str(error.value).startswith("REDIS_URL")
        assert "secret@" not in str(error.value)


def test_trusted_proxies_are_addresses_and_networks():
    proxies = load(Gateway, {"ARTCAFE_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/16,::1"}).parse_trusted_proxies()
    assert proxies == ["127.0.0.1/32", "10.0.0.0/16", "::1/128"]
    assert load(Gateway, {"ARTCAFE_TRUSTED_PROXIES": "none"}).parse_trusted_proxies() == []
    for value in ("*", "nginx", "10.0.0.1/16", "10.0.0.1,,10.0.0.2"):
        with pytest.raises(SettingsError) as error:
            load(Gateway, {"ARTCAFE_TRUSTED_PROXIES": value})
        assert str(error.value).startswith("ARTCAFE_TRUSTED_PROXIES ")


def test_number_of_workers_is_a_number_or_that_of_the_processors(monkeypatch, tmp_path):
    assert load(Gateway, {}).worker_count == 1
    assert load(Gateway, {"ARTCAFE_GATEWAY_WORKERS": "4"}).worker_count == 4
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(processors, "CGROUP_LIMIT", limit)
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda _pid: range(8), raising=False)
    auto = load(Gateway, {"ARTCAFE_GATEWAY_WORKERS": "auto"})
    assert auto.worker_count == 8
    for share, expected in (("max 100000", 8), ("250000 100000", 3), ("5000 100000", 1)):
        limit.write_text(share)
        assert auto.worker_count == expected
    for value in ("0", "-1", "two", "1.5"):
        with pytest.raises(SettingsError) as error:
            load(Gateway, {"ARTCAFE_GATEWAY_WORKERS": value})
        assert str(error.value).startswith("ARTCAFE_GATEWAY_WORKERS ")
