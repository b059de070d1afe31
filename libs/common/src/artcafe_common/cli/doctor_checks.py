"""The checks of `artcafe doctor`, each with a deadline; whatever goes wrong in one is its finding."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal

import httpx
import msgspec
import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.client import RawCredentials

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import EVENTS_STREAM, Bus, inbox_prefix
from artcafe_common.bus.errors import CommandError, StoreUnavailable
from artcafe_common.contracts.health import HEALTH_COMMANDS
from artcafe_common.contracts.identity.accounts import CompareAccounts
from artcafe_common.contracts.ingest import INGEST_STREAM
from artcafe_common.settings import SettingsError, StoreSettings, env, read_key
from artcafe_common.storage.create import installed_tables
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.redis_client import RedisClient
from artcafe_common.storage.table_check import find_problems

DEADLINE_S = 8.0
ASK_S = 3.0
CLOCK_WARN_S = 2.0
CLOCK_FAIL_S = 30.0
SERVER_ERROR = 500
STREAMS = {EVENTS_STREAM: "tenancy", INGEST_STREAM: "metering"}
Status = Literal["ok", "warn", "fail"]


class Settings(StoreSettings, frozen=True, kw_only=True):
    """What the services read, as far as a check needs it."""

    redis_url: Annotated[str, env("The Redis that is checked.", name="REDIS_URL")] = (
        "redis://127.0.0.1:6379/0"
    )
    host: Annotated[str, env("Where the gateway listens.")] = "127.0.0.1"
    port: Annotated[int, env("Its port.")] = 8000
    oidc_issuer: Annotated[str | None, env("The OpenID provider.")] = None
    oidc_jwks_url: Annotated[str | None, env("Where its keys are.")] = None

    @property
    def jwks_url(self) -> str | None:
        """Where the provider's keys are, if it is known."""
        below = f"{self.oidc_issuer}/.well-known/jwks.json" if self.oidc_issuer else None
        return self.oidc_jwks_url or below


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a check found; `mend` is one line with the command that helps."""

    check: str
    status: Status
    detail: str
    mend: str = ""


def ok(check: str, detail: str) -> Finding:
    """A check that found nothing wrong."""
    return Finding(check=check, status="ok", detail=detail)


def warn(check: str, detail: str, mend: str) -> Finding:
    """Works, but should not stay so."""
    return Finding(check=check, status="warn", detail=detail, mend=mend)


def fail(check: str, detail: str, mend: str) -> Finding:
    """Does not work."""
    return Finding(check=check, status="fail", detail=detail, mend=mend)


async def examine(settings: Settings, api: str | None = None) -> list[Finding]:
    """Every finding, in a fixed order."""
    async with AsyncExitStack() as stack:
        checks = Checks(settings, api or f"http://{settings.host}:{settings.port}/api/v1")
        stack.push_async_callback(checks.close)
        first = await checks.bounded("nats", checks.nats)
        others = {
            "streams": checks.streams,
            "redis": checks.redis,
            "dynamodb": checks.dynamodb,
            "jwks": checks.jwks,
            "accounts": checks.accounts,
            "gateway": checks.gateway,
            **{name: checks.service(name) for name in HEALTH_COMMANDS},
        }
        found = await asyncio.gather(*(checks.bounded(name, check) for name, check in others.items()))
        return [*first, *(each for some in found for each in some), *clocks(checks.clocks)]


def clocks(offsets: dict[str, float]) -> list[Finding]:
    """How far the servers' clocks are from this host's; `offsets` in seconds."""
    if not offsets:
        return [warn("clocks", "no server told its time", "mend what does not answer, then run this again")]
    found = []
    for name, offset in offsets.items():
        detail = f"{name}'s clock is {offset:+.1f} s from this host's"
        mend = f"sudo timedatectl set-ntp true   # here, or on the host of {name}"
        if abs(offset) > CLOCK_FAIL_S:
            found.append(fail("clocks", detail, mend))
        elif abs(offset) > CLOCK_WARN_S:
            found.append(warn("clocks", detail, mend))
    return found or [ok("clocks", f"within {CLOCK_WARN_S:g} s: {', '.join(offsets)}")]


class Checks:
    """The checks, with what they need and what they learn besides."""

    def __init__(self, settings: Settings, api: str) -> None:
        self._settings = settings
        self._api = api
        self._http = httpx.AsyncClient(timeout=ASK_S)
        self._nc: Nats | None = None
        self._problems: list[str] = []
        self.clocks: dict[str, float] = {}

    async def close(self) -> None:
        """Leave everything."""
        await self._http.aclose()
        if self._nc is not None:
            await self._nc.close()

    async def bounded(self, name: str, check: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
        """A check's findings; never later than its deadline, never an exception."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await check()
        except TimeoutError:
            return [fail(name, f"no answer within {DEADLINE_S:g} s", _START.get(name, _start(name)))]
        except Exception as error:  # noqa: BLE001 - a broken check must not hide the others
            return [fail(name, f"the check failed: {_why(error)}", _START.get(name, _start(name)))]

    # -- the broker --------------------------------------------------------------------------

    async def nats(self) -> list[Finding]:
        """Whether the broker takes the operator's credentials."""
        keys = self._settings.keys_dir
        try:
            credentials = RawCredentials(read_key(keys / "admin.creds") + "\n")
        except SettingsError as error:
            mend = "set ARTCAFE_KEYS_DIR to the directory that `artcafe bootstrap` made"
            return [fail("nats", str(error), mend)]

        async def note(error: Exception) -> None:
            self._problems.append(str(error).lower())

        nc = Nats()
        url = self._settings.nats_url
        try:
            await nc.connect(
                url.split(","),
                user_credentials=credentials,
                name="doctor",
                inbox_prefix=inbox_prefix("admin"),
                connect_timeout=int(ASK_S),
                allow_reconnect=False,
                max_reconnect_attempts=1,  # nats-py would knock sixty times
                error_cb=note,
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            await nc.close()
            if "authorization" in f"{error} {self._problems}".lower():
                mend = f"use the keys of this broker's `artcafe bootstrap`: set ARTCAFE_KEYS_DIR (now {keys})"
                return [fail("nats", f"{url} refuses {keys / 'admin.creds'}", mend)]
            mend = f"nats-server -c {keys / 'nats-server.conf'}   # or set NATS_URL"
            return [fail("nats", f"{url} is not reachable", mend)]
        self._nc = nc
        return [ok("nats", f"{url}, {str(nc.connected_server_version).strip('<>')}")]

    async def streams(self) -> list[Finding]:
        """Whether JetStream is on and the platform's streams are there."""
        if self._nc is None:
            return [_later("streams")]
        return [await self._stream(self._nc, *each) for each in STREAMS.items()]

    async def _stream(self, nc: Nats, stream: str, owner: str) -> Finding:
        asked_at = time.time()
        try:
            answer = await nc.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=ASK_S)
        except nats.errors.NoRespondersError:
            mend = f"artcafe bootstrap {self._settings.keys_dir} --configuration-only; restart nats-server"
            return fail("streams", "JetStream is off", mend)
        except (nats.errors.Error, TimeoutError):
            if any("permissions violation" in each and stream.lower() in each for each in self._problems):
                # Credentials of an older `artcafe bootstrap`.
                mend = f"nats stream info {stream} with {owner}.creds"
                return warn("streams", f"admin.creds may not ask for {stream}", mend)
            return fail("streams", f"{stream}: JetStream does not answer", "restart nats-server")
        told = msgspec.json.decode(answer.data)
        if "ts" in told:
            self._compare("nats", datetime.fromisoformat(_micros(told["ts"])).timestamp(), asked_at)
        problem = told.get("error")
        if problem is None:
            return ok("streams", f"{stream}, {told['state']['messages']} messages")
        if problem.get("err_code") == 10059:  # noqa: PLR2004 - stream not found
            return fail("streams", f"{stream} does not exist", f"restart {owner}: {_start(owner)}")
        return fail(
            "streams", f"{stream}: {problem.get('description')}", "restart nats-server with JetStream on"
        )

    # -- the stores --------------------------------------------------------------------------

    async def redis(self) -> list[Finding]:
        """Whether Redis answers and writes what it is told to disk."""
        redis = RedisClient(self._settings.redis_url)
        address = self._settings.redis_url.rpartition("@")[2]  # no password
        try:
            asked_at = time.time()
            self._compare("redis", await redis.time(), asked_at)
            kept = await redis.persistence()
        except StoreUnavailable as error:
            return [fail("redis", f"{address}: {_why(error)}", _START["redis"])]
        finally:
            await redis.close()
        if not kept.get("aof_enabled"):
            mend = 'redis-cli -u "$REDIS_URL" config set appendonly yes   # and appendonly yes in redis.conf'
            return [warn("redis", f"{address}: AOF is off, a crash loses counts", mend)]
        if kept.get("aof_last_write_status") != "ok":
            mend = 'make room on Redis\'s disk, then: redis-cli -u "$REDIS_URL" bgrewriteaof'
            return [fail("redis", f"{address}: it cannot write its AOF", mend)]
        return [ok("redis", f"{address}, AOF on")]

    async def dynamodb(self) -> list[Finding]:
        """Whether DynamoDB answers and each table is as it was declared."""
        settings = self._settings
        async with Database(region=settings.aws_region, prefix=settings.table_prefix) as database:
            asked_at = time.time()
            try:
                answer = await database.call("list_tables", Limit=1)
            except StoreUnavailable as error:
                mend = "aws dynamodb list-tables   # the same AWS_REGION, AWS_ENDPOINT_URL and credentials"
                return [fail("dynamodb", _why(error), mend)]
            self._compare_date("dynamodb", answer["ResponseMetadata"]["HTTPHeaders"].get("date"), asked_at)
            specs = installed_tables()
            wrong = [
                each
                for some in await asyncio.gather(*(find_problems(database, s) for s in specs))
                for each in some
            ]
        told = [fail("tables", each.detail, each.remedy) for each in wrong]
        if not specs:
            mend = "run it where the services are installed: make setup"
            told = [warn("tables", "no service is installed here, so none are known", mend)]
        return [
            ok("dynamodb", f"reachable in {settings.aws_region}"),
            *(told or [ok("tables", f"{len(specs)} tables are as declared")]),
        ]

    # -- people's tokens ----------------------------------------------------------------------

    async def jwks(self) -> list[Finding]:
        """Whether the OpenID provider shows keys."""
        url = self._settings.jwks_url
        if url is None:
            return [warn("jwks", "not checked", "set ARTCAFE_OIDC_ISSUER as identity has it")]
        mend = f"curl -fsS {url}   # or set ARTCAFE_OIDC_ISSUER, ARTCAFE_OIDC_JWKS_URL"
        asked_at = time.time()
        try:
            answer = await self._http.get(url)
            self._compare_date("jwks", answer.headers.get("Date"), asked_at)
            keys = [key for key in answer.json()["keys"] if key.get("kid")]
        except httpx.HTTPError as error:
            return [fail("jwks", f"{url} is not reachable: {_why(error)}", mend)]
        except (ValueError, KeyError, TypeError, AttributeError):
            return [fail("jwks", f"{url} answers {answer.status_code} and shows no keys", mend)]
        if not keys:
            return [fail("jwks", f"{url} shows no keys", mend)]
        return [ok("jwks", f"{len(keys)} keys")]

    # -- the services --------------------------------------------------------------------------

    async def accounts(self) -> list[Finding]:
        """Whether the broker knows each organization's account as identity does."""
        if self._nc is None:
            return [_later("accounts")]
        bus = Bus(self._nc, service="admin")
        try:
            found = await bus.call(
                CompareAccounts(),
                caller=CallerContext.service("admin"),
                deadline_s=DEADLINE_S - 1,
                wait_for_recovery=False,
            )
        except CommandError as error:
            return [fail("accounts", f"identity does not tell: {error.detail}", _start("identity"))]
        if found.differing:
            some = ", ".join(found.examples)
            detail = f"the broker lacks {found.differing} of {found.known} accounts, or holds others: {some}"
            mend = "artcafe sync-accounts   # if that does not help: restart nats-server, then again"
            return [fail("accounts", detail, mend)]
        return [ok("accounts", f"{found.known} in step with the broker")]

    async def gateway(self) -> list[Finding]:
        """Whether the gateway answers."""
        asked_at = time.time()
        try:
            answer = await self._http.get(f"{self._api}/health")
            self._compare_date("gateway", answer.headers.get("Date"), asked_at)
            report = answer.json()["services"]["gateway"]
        except httpx.HTTPError as error:
            mend = f"{_start('gateway')}   # or give --api"
            return [fail("gateway", f"{self._api} is not reachable: {_why(error)}", mend)]
        except (ValueError, KeyError, TypeError):
            mend = "give the gateway's address: --api or ARTCAFE_API"
            return [fail("gateway", f"{self._api} answers {answer.status_code}, and not as a gateway", mend)]
        return [_health("gateway", report["status"], report.get("checks", {}), report["version"])]

    def service(self, name: str) -> Callable[[], Awaitable[list[Finding]]]:
        """Whether a service answers on the bus."""

        async def check() -> list[Finding]:
            if self._nc is None:
                return [_later(name)]
            bus = Bus(self._nc, service="admin")
            caller = CallerContext.service("admin")
            try:
                report = await bus.call(
                    HEALTH_COMMANDS[name](), caller=caller, deadline_s=ASK_S, wait_for_recovery=False
                )
            except CommandError as error:
                return [fail(name, error.detail, _start(name))]
            return [_health(name, report.status, report.checks, report.version)]

        return check

    # -- clocks --------------------------------------------------------------------------------

    def _compare_date(self, name: str, date: str | None, asked_at: float) -> None:
        if date:
            # It says whole seconds, cut off.
            self._compare(name, parsedate_to_datetime(date).timestamp() + 0.5, asked_at)

    def _compare(self, name: str, told: float, asked_at: float) -> None:
        self.clocks[name] = told - (asked_at + time.time()) / 2


def _health(name: str, status: str, checks: dict[str, str], version: str) -> Finding:
    wrong = {what: word for what, word in checks.items() if word != "ok"}
    if status == "ok":
        return ok(name, f"answers, version {version}")
    lacks = json.dumps(wrong) if wrong else "nothing that it names"
    return fail(
        name,
        f"{status}, it lacks {lacks}",
        f"mend what it lacks; if it stays so, restart {name}: {_start(name)}",
    )


_START = {
    "nats": "nats-server -c $ARTCAFE_KEYS_DIR/nats-server.conf   # or set NATS_URL",
    "streams": "restart nats-server",
    "redis": "redis-server --appendonly yes --appendfsync everysec --save 30 1000   # or set REDIS_URL",
    "dynamodb": "aws dynamodb list-tables   # the same AWS_REGION, AWS_ENDPOINT_URL and credentials",
    "jwks": "set ARTCAFE_OIDC_ISSUER, ARTCAFE_OIDC_JWKS_URL",
    "accounts": "artcafe sync-accounts",
}


def _start(service: str) -> str:
    return f"python -m artcafe_{service}"


def _later(name: str) -> Finding:
    return fail(name, "cannot be asked without the broker", "mend nats first")


def _micros(text: str) -> str:
    """Nanoseconds cut to what Python reads."""
    head, dot, tail = text.partition(".")
    digits = tail.rstrip("Z")
    return f"{head}{dot}{digits[:6].ljust(6, '0') if dot else ''}+00:00" if text.endswith("Z") else text


def _why(error: BaseException) -> str:
    cause: Any = error.__cause__ or error
    return str(cause) or type(cause).__name__
