"""NATS JWT claims of a tenant's account and of the users in it."""

from artcafe_common.broker.claims import (
    NO_LIMIT,
    AccountClaims,
    AccountLimits,
    Import,
    Permission,
    ResponsePermission,
    UserClaims,
)
from artcafe_common.broker.subjects import HISTORY_STREAM, PRESENCE, REPUBLISH_PREFIX, permission_patterns
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.ingest import LOCAL_SUBJECTS, ingest_subject
from artcafe_common.plans import BRIDGE_ALLOWANCE, LIMITS, Plan

MAX_SUBSCRIPTIONS = 100_000
_RESPONSES = ResponsePermission(max=100, ttl=5 * 60 * 10**9)


def tenant_account_claims(
    *, tenant_id: str, account: str, platform_account: str, plan: Plan, signing_keys: list[str]
) -> AccountClaims:
    """Claims of a tenant's account: its plan's limits and its imports from the platform account.

    The service imports carry the clients' heartbeats, status and metrics to the platform; the stream
    import delivers presence events. Each subject contains the account's public key, which the broker
    checks.
    """
    limits = LIMITS[plan]
    return AccountClaims(
        limits=AccountLimits(
            subs=MAX_SUBSCRIPTIONS,
            conn=NO_LIMIT if limits.connections is None else limits.connections + BRIDGE_ALLOWANCE,
            leaf=0,
            disk_storage=NO_LIMIT if limits.storage_bytes is None else limits.storage_bytes,
            streams=NO_LIMIT,
            consumer=NO_LIMIT,
        ),
        signing_keys=signing_keys,
        imports=[
            *(
                Import(
                    name=kind.value,
                    subject=ingest_subject(account, kind, tenant_id),
                    account=platform_account,
                    type="service",
                    local_subject=local.format(tenant_id=tenant_id),
                    share=True,
                )
                for kind, local in LOCAL_SUBJECTS.items()
            ),
            Import(
                name="presence",
                subject=f"artcafe.tenant.{account}.presence.*",
                account=platform_account,
                type="stream",
                local_subject=f"tenant.{tenant_id}.presence.*",
            ),
        ],
    )


def client_user_claims(
    *, tenant_id: str, client_id: str, account: str, permissions: Permissions
) -> UserClaims:
    """Claims of a client's NATS user: its permissions, its own ingest subjects and its inboxes."""
    ingest = [local.format(tenant_id=tenant_id).replace("*", client_id) for local in LOCAL_SUBJECTS.values()]
    return UserClaims(
        issuer_account=account,
        # Only the platform publishes presence.
        pub=Permission(
            allow=_unique([*_expand(tenant_id, permissions.publish), *ingest]),
            deny=_presence_subjects(tenant_id),
        ),
        # An empty allow list would allow everything; the inbox entry prevents that.
        sub=Permission(allow=_unique([*_expand(tenant_id, permissions.subscribe), "_INBOX.>"])),
        resp=_RESPONSES,
    )


def bridge_user_claims(*, tenant_id: str, account: str) -> UserClaims:
    """Claims of a gateway's bridge: the tenant's subjects, inboxes and the history of its channels."""
    subjects = [f"{root}{tenant_id}.>" for root in ("", "tenant.", "agents.", "channels.")]
    return UserClaims(
        issuer_account=account,
        pub=Permission(
            allow=[*subjects, "_INBOX.>", f"$JS.API.DIRECT.GET.{HISTORY_STREAM}"],
            deny=_presence_subjects(tenant_id),
        ),
        sub=Permission(allow=[*subjects, "_INBOX.>", f"{REPUBLISH_PREFIX}.>"]),
        resp=_RESPONSES,
    )


def stream_user_claims(*, account: str, stream: str) -> UserClaims:
    """Claims of identity's own connection that manages one stream of a tenant."""
    verbs = ("INFO", "CREATE", "UPDATE", "DELETE", "PURGE")
    return UserClaims(
        issuer_account=account,
        pub=Permission(allow=[f"$JS.API.STREAM.{verb}.{stream}" for verb in verbs]),
        sub=Permission(allow=["_INBOX.>"]),
    )


def _presence_subjects(tenant_id: str) -> list[str]:
    return [f"{root}{tenant_id}.{PRESENCE}.>" for root in ("", "tenant.")]


def _expand(tenant_id: str, patterns: list[str]) -> list[str]:
    return [raw for pattern in patterns for raw in permission_patterns(tenant_id, pattern)]


def _unique(subjects: list[str]) -> list[str]:
    return list(dict.fromkeys(subjects))
