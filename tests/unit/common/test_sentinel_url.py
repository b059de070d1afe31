"""URLs of a Redis whose primary Sentinel chooses."""

import pytest

from artcafe_common.sentinel_url import Login, SentinelUrl, parse_sentinel_url
from artcafe_common.settings import SettingsError, load
from artcafe_common.storage.redis_client import RedisClient
from artcafe_gateway.settings import Settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "redis+sentinel://a:26379,b.example,[::1]:5/main",
            SentinelUrl(
                sentinels=[("a", 26379), ("b.example", 26379), ("::1", 5)],
                name="main",
                database=0,
                tls=False,
                login=Login(),
                sentinel_login=Login(),
            ),
        ),
        (
            "rediss+sentinel://user:p%40ss@a/main/3?sentinel_username=s&sentinel_password=x%26y",
            SentinelUrl(
                sentinels=[("a", 26379)],
                name="main",
                database=3,
                tls=True,
                login=Login(username="user", password="p@ss"),
                sentinel_login=Login(username="s", password="x&y"),
            ),
        ),
    ],
)
def test_url_names_sentinels_and_the_primary(url, expected):
    assert parse_sentinel_url(url) == expected
    assert load(Settings, {"REDIS_URL": url}).redis_url == url
    RedisClient(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:secret@/main",
        "redis+sentinel://:secret@a:26379",
        "redis+sentinel://:secret@a:26379,/main",
        "redis+sentinel://:secret@a:0/main",
        "redis+sentinel://:secret@a:99999/main",
        "redis+sentinel://:secret@a/main/x",
        "redis+sentinel://:secret@a/main?sentinel=secret",
        "redis+sentinel://:secret@a b/main",
        "redis+sentinel://:secret@a/main?sentinel_password",
    ],
)
def test_invalid_url_is_an_invalid_setting_whose_error_has_no_password(url):
    for use in (lambda: load(Settings, {"REDIS_URL": url}), lambda: RedisClient(url)):
        with pytest.raises(SettingsError, match=r"^REDIS_URL is not valid: ") as error:
            use()
        assert "secret" not in str(error.value)
