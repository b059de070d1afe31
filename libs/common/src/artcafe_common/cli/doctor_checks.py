"""The checks of `artcafe doctor`; each has a deadline, and an error in one becomes its result."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Annotated

import httpx

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.cli.doctor_broker_checks import BrokerChecks
from artcafe_common.cli.doctor_certificates import check_certificates
from artcafe_common.cli.doctor_clocks import ClockOffsets, check_clocks
from artcafe_common.cli.doctor_instances import check_versions
from artcafe_common.cli.doctor_redis import check_redis
from artcafe_common.cli.doctor_results import (
    REQUEST_TIMEOUT_S,
    CheckResult,
    default_remedy,
    error_reason,
    fail,
    health_result,
    ok,
    start_command,
    warn,
)
from artcafe_common.cli.doctor_sentinel import check_sentinels
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.health import HEALTH_COMMANDS
from artcafe_common.settings import HTTP_SCHEMES, MAX_PORT, NATS_SCHEMES, REDIS_SCHEMES, StoreSettings, env
from artcafe_common.storage.create import installed_tables
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.table_check import find_problems

CHECK_TIMEOUT_S = 12.0


class Settings(StoreSettings, frozen=True, kw_only=True):
    """The settings of the services that the checks need."""

    redis_url: Annotated[str, env("The Redis server to check.", name="REDIS_URL", schemes=REDIS_SCHEMES)] = (
        "redis://127.0.0.1:6379/0"
    )
    host: Annotated[str, env("The address that the gateway listens on.")] = "127.0.0.1"
    port: Annotated[int, env("The gateway's port.", ge=1, le=MAX_PORT)] = 8000
    oidc_issuer: Annotated[str | None, env("The OpenID provider's issuer URL.", schemes=HTTP_SCHEMES)] = None
    oidc_jwks_url: Annotated[str | None, env("The URL of the provider's keys.", schemes=HTTP_SCHEMES)] = None

    public_websocket_url: Annotated[
        str, env("The gateways' public WebSocket URL.", schemes=("ws", "wss"))
    ] = "ws://127.0.0.1:8000"
    public_nats_url: Annotated[str, env("The public URL of NATS.", schemes=NATS_SCHEMES, several=True)] = (
        "nats://127.0.0.1:4222"
    )
    public_nats_ws_url: Annotated[
        str, env("The public URL of NATS over WebSocket.", schemes=("ws", "wss"))
    ] = "ws://127.0.0.1:8443"

    @property
    def jwks_url(self) -> str | None:
        """The URL of the provider's keys; None if it is not configured."""
        default = f"{self.oidc_issuer}/.well-known/jwks.json" if self.oidc_issuer else None
        return self.oidc_jwks_url or default


async def run_checks(settings: Settings, api: str | None = None) -> list[CheckResult]:
    """Run every check; the results are in a fixed order."""
    clocks = ClockOffsets()
    async with AsyncExitStack() as stack:
        broker = BrokerChecks(settings, clocks)
        stack.push_async_callback(broker.close)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S))
        servers = ServerChecks(
            settings, api or f"http://{settings.host}:{settings.port}/api/v1", http, clocks
        )
        nats_results = await run_check("nats", broker.check_nats)  # the other checks use its connection
        checks = {
            "streams": broker.check_streams,
            "storage": broker.check_broker,
            "redis": servers.check_redis,
            "sentinels": servers.check_sentinels,
            "dynamodb": servers.check_dynamodb,
            "jwks": servers.check_jwks,
            "accounts": broker.check_accounts,
            "gateway": servers.check_gateway,
            "gateways": broker.check_gateways,
            **{name: broker.service_check(name) for name in HEALTH_COMMANDS},
            "certificates": servers.check_certificates,
        }
        groups = await run_together(*(run_check(name, check) for name, check in checks.items()))
        results = [*nats_results, *(result for group in groups for result in group)]
        return [*results, *check_versions(results), *check_clocks(clocks.by_server)]


async def run_check(name: str, check: Callable[[], Awaitable[list[CheckResult]]]) -> list[CheckResult]:
    """Run a check within its deadline; an error becomes a failed result."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return [fail(name, f"no answer within {CHECK_TIMEOUT_S:g} s", default_remedy(name))]
    except Exception as error:  # noqa: BLE001 - a broken check must not hide the others
        return [fail(name, f"the check failed: {error_reason(error)}", default_remedy(name))]


class ServerChecks:
    """Checks of the stores, the OpenID provider and the gateway."""

    def __init__(self, settings: Settings, api: str, http: httpx.AsyncClient, clocks: ClockOffsets) -> None:
        self._settings = settings
        self._api = api
        self._http = http
        self._clocks = clocks

    async def check_redis(self) -> list[CheckResult]:
        """Check Redis."""
        return await check_redis(self._settings.redis_url, self._clocks, self._settings.ca_file)

    async def check_sentinels(self) -> list[CheckResult]:
        """Check the Sentinels that `REDIS_URL` names, if any."""
        return await check_sentinels(self._settings.redis_url, self._settings.ca_file)

    async def check_dynamodb(self) -> list[CheckResult]:
        """Check that DynamoDB answers and each table matches its declaration."""
        settings = self._settings
        async with Database(region=settings.aws_region, prefix=settings.table_prefix) as database:
            requested_at = time.time()
            try:
                response = await database.call("list_tables", Limit=1)
            except StoreUnavailable as error:
                remedy = "aws dynamodb list-tables   # the same AWS_REGION, AWS_ENDPOINT_URL and credentials"
                return [fail("dynamodb", error_reason(error), remedy)]
            self._clocks.record_date(
                "dynamodb", response["ResponseMetadata"]["HTTPHeaders"].get("date"), requested_at
            )
            specs = installed_tables()
            problems = await run_together(*(find_problems(database, spec) for spec in specs))
        results = [fail("tables", problem.detail, problem.remedy) for found in problems for problem in found]
        if not specs:
            remedy = "run this where the services are installed: make setup"
            results = [warn("tables", "no service is installed here, so its tables are unknown", remedy)]
        return [
            ok("dynamodb", f"reachable in {settings.aws_region}"),
            *(results or [ok("tables", f"{len(specs)} tables match their declarations")]),
        ]

    async def check_jwks(self) -> list[CheckResult]:
        """Check that the OpenID provider publishes keys."""
        url = self._settings.jwks_url
        if url is None:
            return [warn("jwks", "not checked", "set ARTCAFE_OIDC_ISSUER as for identity")]
        remedy = f"curl -fsS {url}   # or set ARTCAFE_OIDC_ISSUER, ARTCAFE_OIDC_JWKS_URL"
        requested_at = time.time()
        try:
            response = await self._http.get(url)
            self._clocks.record_date("jwks", response.headers.get("Date"), requested_at)
            keys = [key for key in response.json()["keys"] if key.get("kid")]
        except httpx.HTTPError as error:
            return [fail("jwks", f"{url} is not reachable: {error_reason(error)}", remedy)]
        except (ValueError, KeyError, TypeError, AttributeError):
            return [fail("jwks", f"{url} answers {response.status_code} without keys", remedy)]
        if not keys:
            return [fail("jwks", f"{url} has no keys", remedy)]
        return [ok("jwks", f"{len(keys)} keys")]

    async def check_certificates(self) -> list[CheckResult]:
        """Check the certificates of every configured address that uses TLS."""
        settings = self._settings
        urls = [self._api, settings.redis_url, settings.jwks_url or "", *settings.nats_url.split(",")]
        urls += [settings.public_websocket_url, *settings.public_nats_url.split(",")]
        return await check_certificates([*urls, settings.public_nats_ws_url], settings.ca_file)

    async def check_gateway(self) -> list[CheckResult]:
        """Check that the gateway answers."""
        requested_at = time.time()
        try:
            response = await self._http.get(f"{self._api}/health")
            self._clocks.record_date("gateway", response.headers.get("Date"), requested_at)
            report = response.json()["services"]["gateway"]
        except httpx.HTTPError as error:
            remedy = f"{start_command('gateway')}   # or set --api"
            return [fail("gateway", f"{self._api} is not reachable: {error_reason(error)}", remedy)]
        except (ValueError, KeyError, TypeError):
            remedy = "set the gateway's URL: --api or ARTCAFE_API"
            return [
                fail("gateway", f"{self._api} answers {response.status_code}, but is not a gateway", remedy)
            ]
        return [health_result("gateway", report["status"], report.get("checks", {}), report["version"])]
