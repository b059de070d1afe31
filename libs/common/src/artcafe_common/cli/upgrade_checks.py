"""The checks of `artcafe upgrade --check`: what this release needs, compared with what the host has.

The doctor examines a system that runs; these checks look at what the next start depends on.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from artcafe_common.broker.claims import Credentials, UserClaims, claims_of, expiry_of
from artcafe_common.cli.doctor_broker_checks import BrokerChecks
from artcafe_common.cli.doctor_checks import ServerChecks, Settings, run_check
from artcafe_common.cli.doctor_clocks import ClockOffsets
from artcafe_common.cli.doctor_results import (
    REQUEST_TIMEOUT_S,
    CheckResult,
    default_remedy,
    error_reason,
    fail,
    ok,
    warn,
)
from artcafe_common.installation.bootstrap import SECRETS
from artcafe_common.installation.permissions import (
    SERVICES,
    callout_permissions,
    service_permissions,
    system_permissions,
)
from artcafe_common.key_ring import parse_keys
from artcafe_common.settings import ServiceSettings, SettingsError, load, read_key

# Installed services declare their settings here.
SETTINGS_ENTRY_POINTS = "artcafe.settings"
DEFAULT_STORES = (Path("/opt/artcafe"), Path("/var/lib/nats"), Path("/var/lib/redis"))
MIN_FREE_BYTES = 1024**3
DEFAULT_NATS_PORT = 4222
EXPIRY_NOTICE_S = 30 * 86400
# The oldest broker that this release is tested with.
MIN_BROKER_VERSION = (2, 15)


async def run_checks(
    configuration: Path, stores: tuple[Path, ...], *, upgrades_follow: bool = False
) -> list[CheckResult]:
    """Run every check; the results are in a fixed order."""
    settings_results = list(check_settings(configuration, os.environ))
    try:
        settings = load(Settings)
    except SettingsError as error:
        return [*settings_results, fail("settings", str(error), "correct it in artcafe.env")]
    clocks = ClockOffsets()
    async with AsyncExitStack() as stack:
        broker = BrokerChecks(settings, clocks)
        stack.push_async_callback(broker.close)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S))
        servers = ServerChecks(settings, "", http, clocks)
        return [
            *settings_results,
            *check_keys(settings.keys_dir),
            *check_permissions(settings.keys_dir, upgrades_follow=upgrades_follow),
            *check_disks(stores),
            *await run_check(
                "broker", lambda: check_broker(settings.nats_url, upgrades_follow=upgrades_follow)
            ),
            *await _check_streams(settings, broker),
            *await run_check("redis", servers.check_redis),
            *await run_check("dynamodb", servers.check_dynamodb),
            *await run_check("jwks", servers.check_jwks),
        ]


def check_settings(configuration: Path, environ: Mapping[str, str]) -> Iterator[CheckResult]:
    """Check that each installed service accepts its settings."""
    services = sorted(entry_points(group=SETTINGS_ENTRY_POINTS), key=lambda entry: entry.name)
    for entry in services:
        settings_type: type[ServiceSettings] = entry.load()
        own = configuration / f"{entry.name}.env"
        try:
            load(settings_type, {**environ, **_read_environment_file(own)})
        except SettingsError as error:
            yield fail("settings", f"{entry.name}: {error}", f"correct it in artcafe.env or {own}")
        except OSError as error:
            yield fail("settings", f"{own} cannot be read: {error}", "run this as root")
        else:
            yield ok("settings", f"{entry.name}: valid")
    if not services:
        yield warn("settings", "no service is installed here", "run this where the services are installed")


def _read_environment_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals}


def check_keys(directory: Path) -> Iterator[CheckResult]:
    """Check that the keys of this host can be read and used, and that no credentials expire soon."""
    problems = 0
    try:
        paths = sorted(path for path in directory.iterdir() if path.is_file())
    except OSError as error:
        yield fail(
            "keys", f"{directory} cannot be read: {error.strerror}", "set ARTCAFE_KEYS_DIR; run this as root"
        )
        return
    for path in paths:
        for result in _check_key(path):
            problems += 1
            yield result
    if not paths:
        yield fail("keys", f"{directory} is empty", f"artcafe bootstrap {directory}")
    elif not problems:
        yield ok("keys", f"{len(paths)} files in {directory} are usable")


def _check_key(path: Path) -> Iterator[CheckResult]:
    renew = f"artcafe bootstrap {path.parent} --renew"
    try:
        if path.name in SECRETS:
            # After a rotation, a file has several keys.
            parse_keys(read_key(path), path)
        elif path.suffix == ".creds":
            expires_at = expiry_of(Credentials.parse(read_key(path)).jwt)
            if expires_at and expires_at < time.time():
                yield fail("keys", f"{path.name} has expired", renew)
            elif expires_at and expires_at < time.time() + EXPIRY_NOTICE_S:
                days = int((expires_at - time.time()) / 86400)
                yield warn("keys", f"{path.name} expires in {days} days", renew)
        elif not read_key(path):
            yield fail("keys", f"{path.name} is empty", "restore it from the backup of the keys")
    except SettingsError as error:
        yield fail(
            "keys", str(error).removeprefix("ARTCAFE_KEYS_DIR: "), "restore it from the backup of the keys"
        )
    except (ValueError, KeyError):
        yield fail("keys", f"{path.name} contains no credentials", renew)


def check_permissions(directory: Path, *, upgrades_follow: bool = False) -> Iterator[CheckResult]:
    """Check that the services' credentials permit what this release does, and no more."""
    expected: dict[str, UserClaims] = {
        "identity-callout": callout_permissions(),
        **{f"{service}-system": claims for service, claims in system_permissions().items()},
        **{service: service_permissions(service) for service in SERVICES},
    }
    lacking, wide, found = [], [], 0
    for name, claims in expected.items():
        try:
            granted = claims_of(Credentials.parse((directory / f"{name}.creds").read_text()).jwt)
        except (OSError, ValueError, KeyError):
            continue  # of another host, or reported by `check_keys`
        found += 1
        for kind, needed in (("pub", claims.pub), ("sub", claims.sub)):
            before, now = set(granted.get(kind, {}).get("allow", ())), set(needed.allow)
            if now - before:
                lacking.append(f"{name}: {', '.join(sorted(now - before)[:3])}")
            if before - now:
                wide.append(f"{name}: {', '.join(sorted(before - now)[:3])}")
    renew = f"artcafe bootstrap {directory} --renew, in the directory of all keys; restart nats-server"
    if lacking:
        report = warn if upgrades_follow else fail
        yield report("permissions", f"this release needs more than granted: {'; '.join(lacking)}", renew)
    if wide:
        yield warn("permissions", f"this release needs less than granted: {'; '.join(wide)}", renew)
    if not lacking and not wide:
        yield ok("permissions", f"{found} credentials grant what this release needs")


def check_disks(stores: tuple[Path, ...]) -> Iterator[CheckResult]:
    """Check the free space of the directories that exist here."""
    for store in stores:
        if not store.exists():
            continue
        free = shutil.disk_usage(store).free
        size = f"{free / 1024**3:.1f} GiB"
        if free < MIN_FREE_BYTES:
            yield fail("disk", f"{store} has {size} free", "free 1 GiB at least, or enlarge the volume")
        else:
            yield ok("disk", f"{store} has {size} free")


async def check_broker(urls: str, *, upgrades_follow: bool = False) -> list[CheckResult]:
    """Check that a broker answers, and is not older than this release needs; needs no credentials."""
    needed = ".".join(map(str, MIN_BROKER_VERSION))
    for url in urls.split(","):
        parts = urlsplit(url.strip())
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(
                    parts.hostname, parts.port or DEFAULT_NATS_PORT
                )
                # The broker speaks first: INFO and its description in JSON.
                line = await reader.readline()
                writer.close()
            version = str(msgspec.json.decode(line.removeprefix(b"INFO "))["version"])
            older = tuple(int(number) for number in version.split(".")[:2]) < MIN_BROKER_VERSION
        except (OSError, TimeoutError, ValueError, KeyError) as error:
            return [
                fail(
                    "broker", f"{parts.netloc} does not answer: {error_reason(error)}", default_remedy("nats")
                )
            ]
        if older:
            report = warn if upgrades_follow else fail
            return [
                report(
                    "broker", f"{parts.netloc} is {version}, but {needed} is needed", "deploy/ec2/install.sh"
                )
            ]
    return [ok("broker", f"version {version}, at least {needed} is needed")]


async def _check_streams(settings: Settings, broker: BrokerChecks) -> list[CheckResult]:
    if not (settings.keys_dir / "admin.creds").exists():
        return [
            warn(
                "streams", "not checked without admin.creds", "artcafe doctor, where the operator's keys are"
            )
        ]
    results = await run_check("nats", broker.check_nats)
    return [*results, *await run_check("streams", broker.check_streams)]
