"""URLs of a Redis whose primary Sentinel chooses."""

import re
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

PLAIN, TLS = "redis+sentinel", "rediss+sentinel"
DEFAULT_PORT = 26379
_FORM = f"{PLAIN}://[[user]:password@]host:port,host:port,…/name[/database]"
_SENTINEL = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(?::(?P<port>[0-9]{1,5}))?")
_PATH = re.compile(r"/(?P<name>[A-Za-z0-9._-]+)(?:/(?P<database>[0-9]{1,5}))?")
_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})


class Login(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user and a password; None for the default user, or without a login."""

    username: str | None = None
    password: str | None = None


class SentinelUrl(msgspec.Struct, frozen=True, kw_only=True):
    """What such a URL says. `login` is that of the Redis servers; with `tls`, all connections are encrypted."""

    sentinels: list[tuple[str, int]]
    name: str
    database: int
    tls: bool
    login: Login
    sentinel_login: Login


def is_sentinel_url(url: str) -> bool:
    """Whether a URL has one of the two schemes."""
    return url.startswith((f"{PLAIN}:", f"{TLS}:"))


def parse_sentinel_url(url: str) -> SentinelUrl:
    """Raises ValueError, whose text does not contain the URL: that may have a password."""
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    found = [_SENTINEL.fullmatch(host) for host in hosts.split(",")]
    path = _PATH.fullmatch(parts.path)
    options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    ports = [int(each["port"] or DEFAULT_PORT) for each in found if each]
    if path is None or len(ports) < len(found) or not all(0 < port < 1 << 16 for port in ports):
        raise ValueError(f"it must have the form {_FORM}")
    if options.keys() - _OPTIONS:
        raise ValueError(f"the options are {' and '.join(sorted(_OPTIONS))}")
    username, _, password = map(unquote, credentials.partition(":"))
    return SentinelUrl(
        sentinels=[(each["host"].strip("[]"), port) for each, port in zip(found, ports, strict=True) if each],
        name=path["name"],
        database=int(path["database"] or 0),
        tls=parts.scheme == TLS,
        login=Login(username=username or None, password=password or None),
        sentinel_login=Login(
            username=options.get("sentinel_username"), password=options.get("sentinel_password")
        ),
    )
