"""NATS JWT claims of a tenant's accounts and of the users in them.

A tenant has an account for its clients, one for the platform's streams, and if its plan has them, one for the streams
that its clients keep themselves. No client and no key of the tenant enters the latter two. The clients' account exports
its messages to them, and their streams store what they match; they export their replies to inboxes, and the reads of
the JetStream API.
"""

import msgspec

from artcafe_common.broker.claims import (
    NO_LIMIT,
    AccountClaims,
    AccountLimits,
    Export,
    Import,
    Permission,
    UserClaims,
)
from artcafe_common.broker.subjects import (
    ACK_PREFIX,
    FULL_WILDCARD,
    INBOX_PREFIX,
    PRIVATE_INBOX_PREFIX,
)
from artcafe_common.contracts.ingest import LOCAL_SUBJECTS, ingest_subject
from artcafe_common.contracts.stream_api import (
    CHECKED_API_SUBJECTS,
    DIRECT_API_SUBJECTS,
    OWN_API_PREFIX,
    OWN_CHECKED_API_SUBJECTS,
    PLATFORM_API_PREFIX,
    own_stream_api_subject,
    stream_api_subject,
)
from artcafe_common.grants import denied_to_bridges
from artcafe_common.plans import BRIDGE_ALLOWANCE, LIMITS, Limits, Plan

MAX_SUBSCRIPTIONS = 100_000
# Consumers of the platform's streams, in each tenant.
MAX_CONSUMERS = 1000
# What a client sends to a consumer: acknowledgements and responses to flow control.
_CONSUMER_SUBJECTS = ("$JS.ACK.>", "$JS.FC.>")
# What JetStream reports of the streams that clients keep.
_ADVISORIES = "$JS.EVENT.>"
# The subjects of key-value and object stores.
_STORE_SUBJECTS = ("$KV.>", "$O.>")


def tenant_account_claims(
    *,
    tenant_id: str,
    account: str,
    platform_account: str,
    streams_account: str,
    own_streams_account: str | None,
    limits: AccountLimits,
    signing_keys: list[str],
) -> AccountClaims:
    """Claims of the account of a tenant's clients: its limits, imports and exports.

    The service imports carry the clients' heartbeats, status and metrics to the platform, and their calls of the
    JetStream API to identity and the streams' accounts; the stream imports deliver presence events and what the
    streams' accounts send to inboxes. Each subject of the platform's account contains the account's public key, which
    the broker checks. Without `own_streams_account`, clients cannot call the API of own streams.
    """
    return AccountClaims(
        limits=limits,
        signing_keys=signing_keys,
        exports=[Export(name="messages", subject=FULL_WILDCARD, type="stream")],
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
            *(
                Import(
                    name=subject,
                    subject=stream_api_subject(account, subject),
                    account=platform_account,
                    type="service",
                    local_subject=f"{PLATFORM_API_PREFIX}.{subject}",
                    share=True,
                )
                for subject in CHECKED_API_SUBJECTS
            ),
            *_stream_account_imports(streams_account, PLATFORM_API_PREFIX),
            *([] if own_streams_account is None else _own_imports(account, platform_account)),
            *(
                []
                if own_streams_account is None
                else _stream_account_imports(own_streams_account, OWN_API_PREFIX, own=True)
            ),
        ],
    )


def _own_imports(account: str, platform_account: str) -> list[Import]:
    """The calls about a tenant's own streams, which identity forwards."""
    return [
        Import(
            name=f"own {subject}",
            subject=own_stream_api_subject(account, subject),
            account=platform_account,
            type="service",
            local_subject=f"{OWN_API_PREFIX}.{subject}",
            share=True,
        )
        for subject in OWN_CHECKED_API_SUBJECTS
    ]


def _stream_account_imports(account: str, api_prefix: str, *, own: bool = False) -> list[Import]:
    """What the clients' account imports from an account of streams.

    Acknowledgements go to both accounts, since they do not say which one the stream is in: where the broker finds no
    such consumer, they have no effect.
    """
    prefix = "own " if own else ""
    return [
        *(
            Import(
                name=f"{prefix}{subject}",
                subject=f"$JS.API.{subject}",
                account=account,
                type="service",
                local_subject=f"{api_prefix}.{subject}",
            )
            for subject in DIRECT_API_SUBJECTS
        ),
        *(
            Import(name=f"{prefix}{subject}", subject=subject, account=account, type="service")
            for subject in _CONSUMER_SUBJECTS
        ),
        Import(name=f"{prefix}inboxes", subject=f"{INBOX_PREFIX}.>", account=account, type="stream"),
        *([Import(name="advisories", subject=_ADVISORIES, account=account, type="stream")] if own else []),
    ]


def clients_account_limits(
    plan: Plan, *, streams_moved: bool = True, own_streams_moved: bool = True, unlimited: bool = False
) -> AccountLimits:
    """The limits of the clients' account. JetStream is off in it, except in an account of an earlier release.

    There its own streams have the plan's limits until they are moved, and none while they are (`unlimited`), or while
    the platform's streams are in it.
    """
    limits = LIMITS[plan]
    base = AccountLimits(
        subs=MAX_SUBSCRIPTIONS,
        conn=NO_LIMIT if limits.connections is None else limits.connections + BRIDGE_ALLOWANCE,
        leaf=0,
    )
    if own_streams_moved and streams_moved:
        return base
    return _with_stream_limits(base, limits, unlimited=unlimited or not streams_moved)


def streams_account_claims(*, tenant_id: str, clients_account: str, signing_key: str) -> AccountClaims:
    """Claims of the account of a tenant's platform streams.

    It has no limit of its storage, which a single server would reserve as a whole: tenancy keeps the sum of the
    streams' `max_bytes` within the plan, and the broker each stream within its own.
    """
    return AccountClaims(
        limits=AccountLimits(
            subs=MAX_SUBSCRIPTIONS,
            leaf=0,
            disk_storage=NO_LIMIT,
            streams=NO_LIMIT,
            consumer=MAX_CONSUMERS,
        ),
        signing_keys=[signing_key],
        imports=_message_imports(clients_account, _tenant_subjects(tenant_id)),
        exports=_stream_account_exports(),
    )


def own_streams_account_claims(
    *,
    tenant_id: str,
    clients_account: str,
    plan: Plan,
    signing_key: str,
    roots: list[str],
    enabled: bool = True,
    unlimited: bool = False,
    replicas: int = 1,
) -> AccountClaims:
    """Claims of the account of the streams that a tenant's clients keep, with the plan's limits.

    `roots` are the first tokens of the further subjects that these streams store. Unless it is `enabled`, JetStream is
    off: a single server reserves the account's storage as soon as it is on.
    """
    base = AccountLimits(subs=MAX_SUBSCRIPTIONS, leaf=0)
    fixed = [subject for subject in _tenant_subjects(tenant_id) if subject.partition(".")[0] not in roots]
    return AccountClaims(
        limits=_with_stream_limits(base, LIMITS[plan], unlimited=unlimited, replicas=replicas)
        if enabled or unlimited
        else base,
        signing_keys=[signing_key],
        imports=_message_imports(
            clients_account,
            [*fixed, *_STORE_SUBJECTS, *(form for root in roots for form in (root, f"{root}.>"))],
        ),
        exports=[
            *_stream_account_exports(),
            Export(name="advisories", subject=_ADVISORIES, type="stream"),
        ],
    )


def _message_imports(clients_account: str, subjects: list[str]) -> list[Import]:
    return [
        Import(name=subject, subject=subject, account=clients_account, type="stream") for subject in subjects
    ]


def _stream_account_exports() -> list[Export]:
    return [
        *(
            Export(name=subject, subject=f"$JS.API.{subject}", type="service", response_type="Stream")
            for subject in DIRECT_API_SUBJECTS
        ),
        *(Export(name=subject, subject=subject, type="service") for subject in _CONSUMER_SUBJECTS),
        Export(name="inboxes", subject=f"{INBOX_PREFIX}.>", type="stream"),
    ]


def _with_stream_limits(
    base: AccountLimits, limits: Limits, *, unlimited: bool, replicas: int = 1
) -> AccountLimits:
    """The limits of the streams that clients keep."""
    storage = None if unlimited else limits.own_storage_bytes
    return msgspec.structs.replace(
        base,
        disk_storage=NO_LIMIT if storage is None else replicas * storage,
        streams=NO_LIMIT if unlimited else limits.own_streams,
        consumer=NO_LIMIT if unlimited else limits.own_stream_consumers,
    )


def bridge_user_claims(*, tenant_id: str, account: str) -> UserClaims:
    """Claims of a gateway's bridge in the clients' account: it hears the tenant's subjects and its own inboxes.

    Clients choose the reply subjects of their requests, so it may publish anywhere but on the platform's subjects. It
    has no `resp`, which would take precedence over the deny list.
    """
    return UserClaims(
        issuer_account=account,
        pub=Permission(allow=[FULL_WILDCARD], deny=denied_to_bridges(tenant_id)),
        sub=Permission(allow=[*_tenant_subjects(tenant_id), f"{PRIVATE_INBOX_PREFIX}.>"]),
    )


def history_user_claims(*, tenant_id: str, account: str) -> UserClaims:
    """Claims of a gateway in the streams' account: it reads the streams, and hears what they are about to store.

    It stores messages of channels there that the organization's subscribers have received before.
    """
    return UserClaims(
        issuer_account=account,
        pub=Permission(
            allow=["$JS.API.DIRECT.GET.*", "$JS.API.STREAM.INFO.*", f"tenant.{tenant_id}.channel.*"]
        ),
        sub=Permission(
            allow=[f"{PRIVATE_INBOX_PREFIX}.>", f"{ACK_PREFIX}.>", f"tenant.{tenant_id}.channel.>"]
        ),
    )


def stream_user_claims(*, account: str, stream: str) -> UserClaims:
    """Claims of identity's own connection that manages one stream of a tenant, or moves it to another account."""
    verbs = ("INFO", "CREATE", "UPDATE", "DELETE", "PURGE", "MSG.GET", "SNAPSHOT", "RESTORE")
    return UserClaims(
        issuer_account=account,
        pub=Permission(allow=[*(f"$JS.API.STREAM.{verb}.{stream}" for verb in verbs), "$JS.SNAPSHOT.>"]),
        sub=Permission(allow=[f"{PRIVATE_INBOX_PREFIX}.>"]),
    )


def stream_backup_user_claims(*, account: str, restore: bool) -> UserClaims:
    """Claims of the operator's connection that saves the streams of an account, or with `restore` replaces them."""
    verbs = ("INFO", "DELETE", "RESTORE") if restore else ("INFO", "SNAPSHOT")
    return UserClaims(
        issuer_account=account,
        pub=Permission(
            allow=[
                "$JS.API.STREAM.LIST",
                *(f"$JS.API.STREAM.{verb}.*" for verb in verbs),
                "$JS.SNAPSHOT.>",
            ]
        ),
        sub=Permission(allow=[f"{PRIVATE_INBOX_PREFIX}.>"]),
    )


def stream_removal_user_claims(*, account: str) -> UserClaims:
    """Claims of identity's own connection that deletes all streams of an account."""
    return UserClaims(
        issuer_account=account,
        pub=Permission(allow=["$JS.API.STREAM.LIST", "$JS.API.STREAM.DELETE.*"]),
        sub=Permission(allow=[f"{PRIVATE_INBOX_PREFIX}.>"]),
    )


def own_streams_move_user_claims(*, account: str) -> UserClaims:
    """Claims of identity's own connection that moves the clients' own streams to another account."""
    calls = (
        *(f"STREAM.{verb}.*" for verb in ("INFO", "CREATE", "UPDATE", "DELETE", "SNAPSHOT", "RESTORE")),
        "STREAM.LIST",
        "CONSUMER.LIST.*",
        "CONSUMER.CREATE.*.>",
        "CONSUMER.DURABLE.CREATE.*.*",
    )
    return UserClaims(
        issuer_account=account,
        pub=Permission(allow=[*(f"$JS.API.{call}" for call in calls), "$JS.SNAPSHOT.>"]),
        sub=Permission(allow=[f"{PRIVATE_INBOX_PREFIX}.>"]),
    )


def stream_api_user_claims(*, account: str, own: bool) -> UserClaims:
    """Claims of identity's connection that forwards clients' checked calls of the JetStream API."""
    calls = OWN_CHECKED_API_SUBJECTS if own else CHECKED_API_SUBJECTS
    return UserClaims(
        issuer_account=account,
        pub=Permission(allow=[f"$JS.API.{call}" for call in calls]),
        sub=Permission(allow=[f"{PRIVATE_INBOX_PREFIX}.>"]),
    )


def _tenant_subjects(tenant_id: str) -> list[str]:
    return [f"{root}{tenant_id}.>" for root in ("", "tenant.", "agents.", "channels.")]
