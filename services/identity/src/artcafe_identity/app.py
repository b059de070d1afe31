"""Composition root of identity."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
from aiobotocore.config import AioConfig

from artcafe_common.broker.connect import connect
from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.bus.request_many import reply_to_requests
from artcafe_common.contracts.identity.accounts import (
    AccountUpdated,
    OperatorKeyReport,
    OperatorKeyRequested,
)
from artcafe_common.contracts.metering import QuotaCrossed
from artcafe_common.contracts.tenancy.events import (
    AccountExpired,
    AccountStatusChanged,
    ClientRevoked,
    MembershipChanged,
    PlanChanged,
)
from artcafe_common.installation.platform_keys import load_platform_keys
from artcafe_common.key_ring import REFRESH_INTERVAL_S, KeyRing, refresh_all
from artcafe_common.lifecycle import run_background, run_periodically, wait_until_available
from artcafe_common.runtime import run_service
from artcafe_common.settings import read_key
from artcafe_common.storage.aws_session import aws_session
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.redis_client import RedisClient
from artcafe_identity.account_deletion import AccountDeleter
from artcafe_identity.account_reconciler import AccountReconciler
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.account_signing import AccountSigner
from artcafe_identity.agent_authenticator import AgentAuthenticator
from artcafe_identity.agent_tokens import AgentTokenIssuer
from artcafe_identity.auth_callout import AuthCallout
from artcafe_identity.broker_accounts import BrokerAccounts
from artcafe_identity.client_authenticator import ClientAuthenticator
from artcafe_identity.client_tokens import ClientTokens
from artcafe_identity.cognito import Cognito
from artcafe_identity.endpoints import Endpoints
from artcafe_identity.jwks import JwksCache
from artcafe_identity.login_failures import LoginFailureReporter
from artcafe_identity.message_quota import MessageQuota
from artcafe_identity.metrics import register as register_metrics
from artcafe_identity.operator_key import OperatorKey
from artcafe_identity.own_stream_replicas import OwnStreamReplicas
from artcafe_identity.rate_limits import IssuanceLimits
from artcafe_identity.recent_logins import RecentLogins
from artcafe_identity.revocation import ClientKicker, RevocationHandler
from artcafe_identity.seed_cipher import SeedCipher
from artcafe_identity.settings import Settings
from artcafe_identity.signing_keys import SigningKeyManager
from artcafe_identity.store import Store
from artcafe_identity.stream_api import StreamApi
from artcafe_identity.stream_comparison import StreamComparison
from artcafe_identity.stream_connections import StreamConnections
from artcafe_identity.suspension import SuspensionHandler
from artcafe_identity.tables import TABLES
from artcafe_identity.tenant_streams import TenantStreamManager
from artcafe_identity.user_details_recorder import UserDetailsRecorder
from artcafe_identity.user_info import UserInfoEndpoint, UserPoolInfo
from artcafe_identity.user_tokens import UserTokenVerifier

RECONCILE_INTERVAL_S = 30
POSTPONED_INTERVAL_S = 1
CHANGES_INTERVAL_S = 1
# A wrong stream is restored after two comparisons, within a minute.
STREAM_COMPARISON_INTERVAL_S = 15
LOGIN_FAILURE_INTERVAL_S = 5
STREAM_API_INTERVAL_S = 1


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[None]:  # noqa: PLR0915 - read from top to bottom
    """Run identity until the context is left."""
    keys = settings.keys_dir
    async with AsyncExitStack() as stack:
        # Connections.
        http = await stack.enter_async_context(httpx.AsyncClient())
        database = await stack.enter_async_context(
            Database(region=settings.aws_region, prefix=settings.table_prefix)
        )
        cognito_client = await stack.enter_async_context(
            aws_session().create_client(
                "cognito-idp",
                region_name=settings.aws_region,
                config=AioConfig(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2}),
            )
        )
        redis = RedisClient(settings.redis_url, ca_file=settings.ca_file)
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
        system = await connect(
            settings.nats_url, keys / "identity-system.creds", name="identity", ca_file=settings.ca_file
        )
        stack.push_async_callback(system.close)
        callout_connection = await connect(
            settings.nats_url, keys / "identity-callout.creds", name="identity", ca_file=settings.ca_file
        )
        stack.push_async_callback(callout_connection.close)

        # Components.
        store = Store(database)
        sealing_keys, agent_token_keys = _read_keys(keys)
        operator = OperatorKey.from_file(keys / "operator.nk")
        signer = AccountSigner(
            operator=operator,
            platform=load_platform_keys(keys),
            cipher=SeedCipher(sealing_keys),
            stream_replicas=settings.stream_replicas,
        )
        broker_accounts = BrokerAccounts(system)
        accounts = AccountRepository(store=store, broker=broker_accounts, bus=runtime.bus, signer=signer)
        reconciler = AccountReconciler(store=store, accounts=accounts, broker=broker_accounts, signer=signer)
        login_failures = LoginFailureReporter(runtime.bus)
        client_authenticator = ClientAuthenticator(runtime.bus, login_failures)
        agent_tokens = AgentTokenIssuer(agent_token_keys)
        agent_authenticator = AgentAuthenticator(
            settings=settings,
            store=store,
            bus=runtime.bus,
            tokens=agent_tokens,
            login_failures=login_failures,
        )
        recent_logins = RecentLogins(system, accounts)
        callout = AuthCallout(
            nc=callout_connection,
            key=KeyPair(read_key(keys / "callout.nk")),
            client_authenticator=client_authenticator,
            accounts=accounts,
            bus=runtime.bus,
            recent_logins=recent_logins,
        )
        stream_api = StreamApi(
            nc=runtime.bus.nc,
            accounts=accounts,
            connections=StreamConnections(
                store=store, accounts=accounts, nats_url=settings.nats_url, ca_file=settings.ca_file
            ),
            replicas=settings.stream_replicas,
        )
        stack.push_async_callback(stream_api.close)
        issuance_limits = IssuanceLimits(redis, settings)
        signing_keys = SigningKeyManager(bus=runtime.bus, accounts=accounts, issuance_limits=issuance_limits)
        streams = TenantStreamManager(
            accounts=accounts,
            nats_url=settings.nats_url,
            ca_file=settings.ca_file,
            replicas=settings.stream_replicas,
        )
        user_tokens = UserTokenVerifier(
            jwks=jwks, issuer=settings.oidc_issuer, client_id=settings.oidc_client_id
        )
        cognito = Cognito(cognito_client, settings.oidc_client_id)
        user_info_url = settings.oidc_userinfo_url
        user_details = UserDetailsRecorder(
            bus=runtime.bus,
            verifier=user_tokens,
            user_info=UserInfoEndpoint(user_info_url, http) if user_info_url else UserPoolInfo(cognito),
        )
        endpoints = Endpoints(
            settings=settings,
            store=store,
            issuance_limits=issuance_limits,
            accounts=accounts,
            reconciler=reconciler,
            signing_keys=signing_keys,
            streams=streams,
            client_authenticator=client_authenticator,
            client_tokens=ClientTokens(
                agent_token_keys, authenticator=client_authenticator, accounts=accounts
            ),
            user_tokens=user_tokens,
            cognito=cognito,
            user_details=user_details,
            agent_authenticator=agent_authenticator,
            agent_tokens=agent_tokens,
        )
        clients = ClientKicker(system, recent_logins)
        revocations = RevocationHandler(
            clients=clients,
            accounts=accounts,
            authenticator=client_authenticator,
            recent_logins=recent_logins,
        )
        suspensions = SuspensionHandler(bus=runtime.bus, accounts=accounts, clients=clients)
        deleter = AccountDeleter(
            bus=runtime.bus,
            store=store,
            accounts=accounts,
            limits=issuance_limits,
            nats_url=settings.nats_url,
            ca_file=settings.ca_file,
        )
        quota = MessageQuota(bus=runtime.bus, accounts=accounts, clients=clients)
        consumer = EventConsumer(
            runtime.bus,
            "identity",
            {
                ClientRevoked: revocations.on_stored_client_revoked,
                MembershipChanged: signing_keys.on_membership_changed,
                QuotaCrossed: quota.on_quota_crossed,
                PlanChanged: quota.on_plan_changed,
                AccountStatusChanged: suspensions.on_status_changed,
                AccountExpired: deleter.on_account_expired,
            },
            concurrent=True,
        )

        async def reconcile_accounts() -> None:
            if not system.is_connected:
                raise ServiceUnavailable("the broker is not connected")
            await reconciler.reconcile_when_due()

        async def refresh_keys() -> None:
            await refresh_all(sealing_keys, agent_token_keys)
            await operator.refresh()

        async def report_operator_key(_request: OperatorKeyRequested) -> OperatorKeyReport:
            return OperatorKeyReport(server_id=settings.server_id, operator=operator.pair.public)

        async def invalidate_clients() -> None:
            client_authenticator.clear_cache()
            accounts.clear_cache()

        register_metrics(
            runtime.metrics,
            callout=callout,
            login_failures=login_failures,
            user_details=user_details,
            consumer=consumer,
            connections={"system": system, "callout": callout_connection},
            stores={"redis": redis.statistics, "dynamodb": database.statistics},
        )

        # Startup. NATS clients need neither the OpenID provider nor Redis, so those are not awaited; nor are the
        # accounts compared first, which the broker keeps.
        await wait_until_available("dynamodb", lambda: database.check_tables(TABLES))
        await client_authenticator.subscribe_invalidation()
        await runtime.bus.subscribe(ClientRevoked, revocations.end_recent_logins)
        await runtime.bus.subscribe(ClientRevoked, revocations.on_client_revoked, shared=True)
        await runtime.bus.subscribe(AccountStatusChanged, suspensions.on_status_changed, shared=True)
        await runtime.bus.subscribe_signal(AccountUpdated, callout.on_account_updated, shared=False)
        await reply_to_requests(runtime.bus, OperatorKeyRequested, report_operator_key)
        await callout.start()
        await stream_api.start()
        await runtime.serve(endpoints)
        runtime.on_reconnect.append(invalidate_clients)
        await stack.enter_async_context(
            run_background(
                consumer.run(),
                run_periodically(REFRESH_INTERVAL_S, refresh_keys, name="refresh_keys"),
                login_failures.run(),
                user_details.run(),
                run_periodically(LOGIN_FAILURE_INTERVAL_S, login_failures.tick, name="login_failures"),
                run_periodically(STREAM_API_INTERVAL_S, stream_api.update, name="stream_api"),
                run_periodically(RECONCILE_INTERVAL_S, streams.resume_moves, name="move_own_streams"),
                run_periodically(
                    STREAM_COMPARISON_INTERVAL_S,
                    StreamComparison(
                        system=system,
                        bus=runtime.bus,
                        accounts=accounts,
                        streams=streams,
                        own_streams=OwnStreamReplicas(
                            accounts=accounts,
                            nats_url=settings.nats_url,
                            ca_file=settings.ca_file,
                            replicas=settings.stream_replicas,
                        ),
                        replicas=settings.stream_replicas,
                    ).run,
                    name="compare_streams",
                ),
                run_periodically(
                    RECONCILE_INTERVAL_S, runtime.bus.align_events_stream, name="align_events_stream"
                ),
                run_periodically(POSTPONED_INTERVAL_S, accounts.publish_postponed, name="publish_accounts"),
                run_periodically(CHANGES_INTERVAL_S, reconcile_accounts, name="reconcile_accounts"),
                run_periodically(RECONCILE_INTERVAL_S, quota.lift_expired, name="lift_expired_quotas"),
                run_periodically(
                    CHANGES_INTERVAL_S, reconciler.reconcile_changed, name="reconcile_changed_accounts"
                ),
            )
        )
        yield


def _read_keys(keys: Path) -> tuple[KeyRing, KeyRing]:
    """The keys of the stored seeds, and those of agents' and clients' tokens."""
    return KeyRing.from_file(keys / "sealing.key"), KeyRing.from_file(keys / "agent-token.key")
