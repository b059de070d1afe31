"""How identity is put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from artcafe_common.broker.bootstrap import load_platform_keys
from artcafe_common.broker.connect import connect
from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.tenancy.events import ClientRevoked
from artcafe_common.lifecycle import run_background, run_periodically, wait_until_available
from artcafe_common.runtime import run_service
from artcafe_common.settings import read_key, read_secret
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.redis_client import RedisClient
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.agent_tokens import AgentTokens
from artcafe_identity.auth_callout import AuthCallout
from artcafe_identity.client_authenticator import Clients
from artcafe_identity.cognito import Cognito
from artcafe_identity.endpoints import Endpoints
from artcafe_identity.login_failures import LoginFailures
from artcafe_identity.revocation import Revocations
from artcafe_identity.seed_cipher import Sealer
from artcafe_identity.settings import Settings
from artcafe_identity.store import Rates, Store
from artcafe_identity.tables import TABLES
from artcafe_identity.tenant_streams import TenantStreams
from artcafe_identity.user_tokens import Jwks, TokenVerifier

RECONCILE_EVERY_S = 30
KNOCKS_EVERY_S = 5


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[None]:
    """identity, running."""
    keys = settings.keys_dir
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient())
        database = await stack.enter_async_context(
            Database(region=settings.aws_region, prefix=settings.table_prefix)
        )
        cognito = await stack.enter_async_context(
            get_session().create_client(
                "cognito-idp",
                region_name=settings.aws_region,
                config=AioConfig(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2}),
            )
        )
        shared = RedisClient(settings.redis_url)
        stack.push_async_callback(shared.close)
        jwks = Jwks(settings.jwks_url, http)
        host = await stack.enter_async_context(
            run_service(
                "identity",
                settings,
                {
                    "dynamodb": lambda: database.check(TABLES),
                    "redis": shared.check,
                    "openid_provider": jwks.load,
                },
            )
        )
        knocks = LoginFailures(host.bus)
        clients = Clients(host.bus, knocks)
        system = await connect(settings.nats_url, keys / "identity-system.creds", name="identity")
        stack.push_async_callback(system.close)
        callout_nc = await connect(settings.nats_url, keys / "identity-callout.creds", name="identity")
        stack.push_async_callback(callout_nc.close)

        store = Store(database)
        registry = AccountRepository(
            store=store,
            system=system,
            operator=KeyPair(read_key(keys / "operator.nk")),
            platform=load_platform_keys(keys),
            sealer=Sealer.from_file(keys / "sealing.key"),
        )
        callout = AuthCallout(
            nc=callout_nc,
            key=KeyPair(read_key(keys / "callout.nk")),
            clients=clients,
            registry=registry,
        )
        revocations = Revocations(system=system, registry=registry)

        # Not for the provider, nor for Redis: clients of the broker need neither.
        await wait_until_available("dynamodb", lambda: database.check(TABLES))
        await wait_until_available("accounts", registry.reconcile)
        await clients.watch()
        await callout.start()
        await host.server.serve(
            Endpoints(
                settings=settings,
                store=store,
                rates=Rates(shared, settings),
                registry=registry,
                streams=TenantStreams(registry=registry, nats_url=settings.nats_url),
                clients=clients,
                tokens=TokenVerifier(
                    jwks=jwks, issuer=settings.oidc_issuer, client_id=settings.oidc_client_id
                ),
                cognito=Cognito(cognito, settings.oidc_client_id),
                bus=host.bus,
                agent_tokens=AgentTokens(read_secret(keys / "agent-token.key")),
                knocks=knocks,
            )
        )

        async def heal() -> None:
            if not system.is_connected:
                raise ServiceUnavailable("the broker is away")
            await registry.reconcile()

        async def news_missed() -> None:
            clients.forget_all()

        host.on_reconnect.append(news_missed)

        consumer = EventConsumer(host.bus, "identity", {ClientRevoked: revocations.apply}, concurrent=True)
        await stack.enter_async_context(
            run_background(
                consumer.run(),
                knocks.run(),
                run_periodically(KNOCKS_EVERY_S, knocks.tick, name="refused_logins"),
                run_periodically(RECONCILE_EVERY_S, heal, name="reconcile_accounts"),
            )
        )
        yield
