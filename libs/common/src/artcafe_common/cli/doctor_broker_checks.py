"""The doctor's checks over the connection to the broker: NATS, streams, accounts and services."""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec
import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.client import RawCredentials

from artcafe_common.broker.client import HardenedNats
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus, inbox_prefix
from artcafe_common.bus.errors import CommandError
from artcafe_common.bus.events_stream import EVENTS_STREAM
from artcafe_common.cli.doctor_clocks import ClockOffsets
from artcafe_common.cli.doctor_instances import check_instances
from artcafe_common.cli.doctor_results import (
    REQUEST_TIMEOUT_S,
    CheckResult,
    fail,
    health_result,
    needs_broker,
    ok,
    start_command,
    warn,
)
from artcafe_common.cli.doctor_streams import check_servers, check_storage, check_streams
from artcafe_common.contracts.health import HEALTH_COMMANDS
from artcafe_common.contracts.identity.accounts import CompareAccounts
from artcafe_common.contracts.metering import GetBrokerReport
from artcafe_common.settings import SettingsError, StoreSettings, read_key
from artcafe_common.tls import create_tls

# Identity compares every account, which takes longer than other requests.
COMPARE_TIMEOUT_S = 7.0
RENEW = "artcafe bootstrap DIRECTORY --renew   # gives admin.creds and the services what this release needs"
STREAM_OWNERS = {EVENTS_STREAM: "tenancy"}


class BrokerChecks:
    """Checks over one connection, which `check_nats` opens; without it the others fail."""

    def __init__(self, settings: StoreSettings, clocks: ClockOffsets) -> None:
        self._settings = settings
        self._clocks = clocks
        self._nc: Nats | None = None
        self._nats_errors: list[str] = []

    async def close(self) -> None:
        """Close the connection."""
        if self._nc is not None:
            await self._nc.close()

    async def check_nats(self) -> list[CheckResult]:
        """Check that the broker accepts the operator's credentials."""
        keys = self._settings.keys_dir
        try:
            credentials = RawCredentials(read_key(keys / "admin.creds") + "\n")
        except SettingsError as error:
            remedy = "set ARTCAFE_KEYS_DIR to the directory that `artcafe bootstrap` created"
            return [fail("nats", str(error), remedy)]

        async def on_error(error: Exception) -> None:
            self._nats_errors.append(str(error).lower())

        nc = HardenedNats()
        url = self._settings.nats_url
        try:
            await nc.connect(
                url.split(","),
                tls=create_tls(self._settings.ca_file),
                user_credentials=credentials,
                name="doctor",
                inbox_prefix=inbox_prefix("admin"),
                connect_timeout=int(REQUEST_TIMEOUT_S),
                allow_reconnect=False,
                error_cb=on_error,
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            await nc.close()
            if "authorization" in f"{error} {self._nats_errors}".lower():
                remedy = f"set ARTCAFE_KEYS_DIR (now {keys}) to the keys of this broker's `artcafe bootstrap`"
                return [fail("nats", f"{url} rejects {keys / 'admin.creds'}", remedy)]
            remedy = f"nats-server -c {keys / 'nats-server.conf'}   # or set NATS_URL"
            return [fail("nats", f"{url} is not reachable", remedy)]
        self._nc = nc
        return [ok("nats", f"{url}, {str(nc.connected_server_version).strip('<>')}")]

    async def check_streams(self) -> list[CheckResult]:
        """Check that JetStream is enabled and the platform's streams exist."""
        if self._nc is None:
            return [needs_broker("streams")]
        return [await self._check_stream(self._nc, *each) for each in STREAM_OWNERS.items()]

    async def _check_stream(self, nc: Nats, stream: str, owner: str) -> CheckResult:
        requested_at = time.time()
        try:
            response = await nc.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=REQUEST_TIMEOUT_S)
        except nats.errors.NoRespondersError:
            remedy = f"artcafe bootstrap {self._settings.keys_dir} --configuration-only; restart nats-server"
            return fail("streams", "JetStream is disabled", remedy)
        except (nats.errors.Error, TimeoutError):
            if any("permissions violation" in each and stream.lower() in each for each in self._nats_errors):
                # The credentials are from an older version of `artcafe bootstrap`.
                remedy = f"nats stream info {stream} with {owner}.creds"
                return warn("streams", f"admin.creds may not read {stream}", remedy)
            return fail("streams", f"{stream}: JetStream does not answer", "restart nats-server")
        info = msgspec.json.decode(response.data)
        if "ts" in info:
            server_time = datetime.fromisoformat(_to_microseconds(info["ts"])).timestamp()
            self._clocks.record("nats", server_time, requested_at)
        error = info.get("error")
        if error is None:
            return ok("streams", f"{stream} exists")
        if error.get("err_code") == 10059:  # noqa: PLR2004 - stream not found
            return fail("streams", f"{stream} does not exist", f"restart {owner}: {start_command(owner)}")
        return fail(
            "streams", f"{stream}: {error.get('description')}", "restart nats-server with JetStream enabled"
        )

    async def check_accounts(self) -> list[CheckResult]:
        """Check that the broker has the same accounts as identity."""
        if self._nc is None:
            return [needs_broker("accounts")]
        bus = Bus(self._nc, service="admin")
        try:
            comparison = await bus.call(
                CompareAccounts(),
                caller=CallerContext.service("admin"),
                deadline_s=COMPARE_TIMEOUT_S,
                wait_for_recovery=False,
            )
        except CommandError as error:
            return [fail("accounts", f"identity does not answer: {error.detail}", start_command("identity"))]
        if comparison.differing:
            examples = ", ".join(comparison.examples)
            detail = (
                f"{comparison.differing} of {comparison.known} accounts are missing or outdated "
                f"in the broker: {examples}"
            )
            remedy = "artcafe sync-accounts   # if that does not help, restart nats-server and repeat it"
            return [fail("accounts", detail, remedy)]
        return [ok("accounts", f"{comparison.known} accounts match the broker's")]

    def service_check(self, name: str) -> Callable[[], Awaitable[list[CheckResult]]]:
        """A check that a service answers on the bus, and of each of its instances."""

        async def check() -> list[CheckResult]:
            if self._nc is None:
                return [needs_broker(name)]
            results = await self._check_instances(self._nc, name)
            if any(result.status != "ok" for result in results):
                # A dependency that was slow once is no problem.
                results = await self._check_instances(self._nc, name)
            return results or [await self._check_service(self._nc, name)]

        return check

    async def check_gateways(self) -> list[CheckResult]:
        """Check every process of the gateways."""
        return [] if self._nc is None else await self._check_instances(self._nc, "gateway")

    async def _check_instances(self, nc: Nats, name: str) -> list[CheckResult]:
        try:
            return await check_instances(Bus(nc, service="admin"), name, self._clocks)
        except CommandError as error:
            return [fail(name, error.detail, start_command(name))]

    async def _check_service(self, nc: Nats, name: str) -> CheckResult:
        """Tells a service that does not run from one that may not be asked for its instances."""
        try:
            report = await Bus(nc, service="admin").call(
                HEALTH_COMMANDS[name](),
                caller=CallerContext.service("admin"),
                deadline_s=REQUEST_TIMEOUT_S,
                wait_for_recovery=False,
            )
        except CommandError as error:
            return fail(name, error.detail, start_command(name))
        result = health_result(name, report.status, report.checks, report.version)
        if result.status != "ok":
            return result
        return warn(name, f"{result.detail}, but does not list its instances", RENEW)

    async def check_broker(self) -> list[CheckResult]:
        """Check the servers, the replicas and consumers of the streams, and the storage."""
        if self._nc is None:
            return [needs_broker(name) for name in ("servers", "storage")]
        try:
            report = await Bus(self._nc, service="admin").call(
                GetBrokerReport(), caller=CallerContext.service("admin"), wait_for_recovery=False
            )
        except CommandError as error:
            return [
                fail(
                    name,
                    f"metering does not report the broker's state: {error.detail}",
                    start_command("metering"),
                )
                for name in ("servers", "storage")
            ]
        return [*check_servers(report), *check_streams(report), *check_storage(report)]


def _to_microseconds(text: str) -> str:
    """Truncate the nanoseconds of a timestamp, which Python does not parse."""
    head, dot, tail = text.partition(".")
    digits = tail.rstrip("Z")
    return f"{head}{dot}{digits[:6].ljust(6, '0') if dot else ''}+00:00" if text.endswith("Z") else text
