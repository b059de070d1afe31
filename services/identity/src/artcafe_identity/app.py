"""Composition root of identity."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from artcafe_common.broker.connect import connect
from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.tenancy.events import ClientRevoked
from artcafe_common.installation.platform_keys import load_platform_keys
from artcafe_common.lifecycle import run_background, run_periodically, wait_until_available
from artcafe_common.runtime import run_service
from artcafe_common.settings import read_key, read_secret
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.redis_client import RedisClient
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.agent_authenticator import AgentAuthenticator
from artcafe_identity.agent_tokens import AgentTokenIssuer
from artcafe_identity.auth_callout import AuthCallout
from artcafe_identity.client_authenticator import ClientAuthenticator
from artcafe_identity.cognito import Cognito
from artcafe_identity.endpoints import Endpoints
from artcafe_identity.login_failures import LoginFailureReporter
from artcafe_identity.rate_limits import IssuanceLimits
from artcafe_identity.revocation import RevocationHandler
from artcafe_identity.seed_cipher import SeedCipher
from artcafe_identity.settings import Settings
from artcafe_identity.store import Store
from artcafe_identity.tables import TABLES
from artcafe_identity.tenant_streams import TenantStreamManager
from artcafe_identity.user_tokens import JwksCache, UserTokenVerifier

RECONCILE_INTERVAL_S = 30
LOGIN_FAILURE_INTERVAL_S = 5


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[None]:
    """Run identity until the context is left."""
    keys = settings.keys_dir
    async with AsyncExitStack() as stack:
        # Connections.
        http = await stack.enter_async_context(httpx.AsyncClient())
        database = await stack.enter_async_context(
            Database(region=settings.aws_region, prefix=settings.table_prefix)
        )
        cognito_client = await stack.enter_async_context(
            get_session().create_client(
                "cognito-idp",
                region_name=settings.aws_region,
                config=AioConfig(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2}),
            )
        )
        redis = RedisClient(settings.redis_url)
        stack.push_async_callback(redis.close)
        jwks = JwksCache(settings.jwks_url, http)
        runtime = await stack.enter_async_context(
            run_service(
                "identity",
                settings,
                {
                    "dynamodb": lambda: database.check_tables(TABLES),
                    "redis": redis.check,
                    "openid_provider": jwks.load,
                },
            )
        )
        system = await connect(settings.nats_url, keys / "identity-system.creds", name="identity")
        stack.push_async_callback(system.close)
        callout_connection = await connect(
            settings.nats_url, keys / "identity-callout.creds", name="identity"
        )
        stack.push_async_callback(callout_connection.close)

        # Components.
        store = Store(database)
        accounts = AccountRepository(
            store=store,
            system=system,
            operator=KeyPair(read_key(keys / "operator.nk")),
            platform=load_platform_keys(keys),
            cipher=SeedCipher.from_file(keys / "sealing.key"),
        )
        login_failures = LoginFailureReporter(runtime.bus)
        client_authenticator = ClientAuthenticator(runtime.bus, login_failures)
        agent_tokens = AgentTokenIssuer(read_secret(keys / "agent-token.key"))
        agent_authenticator = AgentAuthenticator(
            settings=settings,
            store=store,
            bus=runtime.bus,
            tokens=agent_tokens,
            login_failures=login_failures,
        )
        callout = AuthCallout(
            nc=callout_connection,
            key=KeyPair(read_key(keys / "callout.nk")),
            client_authenticator=client_authenticator,
            accounts=accounts,
        )
        endpoints = Endpoints(
            settings=settings,
            store=store,
            issuance_limits=IssuanceLimits(redis, settings),
            accounts=accounts,
            streams=TenantStreamManager(accounts=accounts, nats_url=settings.nats_url),
            client_authenticator=client_authenticator,
            user_tokens=UserTokenVerifier(
                jwks=jwks, issuer=settings.oidc_issuer, client_id=settings.oidc_client_id
            ),
            cognito=Cognito(cognito_client, settings.oidc_client_id),
            agent_authenticator=agent_authenticator,
            agent_tokens=agent_tokens,
        )
        revocations = RevocationHandler(system=system, accounts=accounts)
        consumer = EventConsumer(
            runtime.bus, "identity", {ClientRevoked: revocations.on_client_revoked}, concurrent=True
        )

        async def reconcile_accounts() -> None:
            if not system.is_connected:
                raise ServiceUnavailable("the broker is not connected")
            await accounts.reconcile()

        async def invalidate_clients() -> None:
            client_authenticator.clear_cache()

        # Startup. NATS clients need neither the OpenID provider nor Redis, so those are not awaited.
        await wait_until_available("dynamodb", lambda: database.check_tables(TABLES))
        await wait_until_available("accounts", accounts.reconcile)
        await client_authenticator.subscribe_invalidation()
        await callout.start()
        await runtime.server.serve(endpoints)
        runtime.on_reconnect.append(invalidate_clients)
        await stack.enter_async_context(
            run_background(
                consumer.run(),
                login_failures.run(),
                run_periodically(LOGIN_FAILURE_INTERVAL_S, login_failures.tick, name="login_failures"),
                run_periodically(RECONCILE_INTERVAL_S, reconcile_accounts, name="reconcile_accounts"),
            )
        )
        yield
