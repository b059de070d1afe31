"""Explains whether a client may use a subject, by the rules that also grant it."""

from artcafe_common.broker.subjects import (
    FULL_WILDCARD,
    INBOX_PREFIX,
    PRESENCE,
    PRIVATE_INBOX_PREFIX,
    BadSubject,
    ForbiddenSubject,
    resolve,
    validate,
)
from artcafe_common.contracts.identity.clients import Permissions, StreamAccess
from artcafe_common.contracts.tenancy.clients import PermissionAction, PermissionExplanation
from artcafe_common.grants import allows, client_grants, covering_patterns, effective_streams, own_reports

MAX_SHOWN_PATTERNS = 10


def explain(
    tenant_id: str, client_id: str, permissions: Permissions, action: PermissionAction, subject: str
) -> PermissionExplanation:
    """What would happen if the client published or subscribed to a subject, over any transport."""
    publishes = action is PermissionAction.PUBLISH
    try:
        head = validate(subject, wildcards=not publishes)[0]
        if head.startswith(("$", "_")):
            return _explain_platform_subject(tenant_id, client_id, permissions, action, subject)
        name = resolve(tenant_id, subject, wildcards=not publishes)
    except BadSubject as error:
        return _denied(f"The subject is malformed: {error.detail}.")
    except ForbiddenSubject:
        if publishes and PRESENCE in subject.split("."):
            return _denied("Only the platform publishes presence.")
        return _denied("The subject belongs to another organization or to the platform.")
    patterns = permissions.publish if publishes else permissions.subscribe
    subjects = (name.publish_subject,) if publishes else name.subscribe_subjects
    return _explain_name(action, patterns, covering_patterns(tenant_id, patterns, subjects))


def _explain_name(
    action: PermissionAction, patterns: list[str], covering: list[str] | None
) -> PermissionExplanation:
    if covering:
        return PermissionExplanation(
            allowed=True, pattern=covering[0], why=f"The pattern `{covering[0]}` in `{action}` covers it."
        )
    if not patterns:
        return _denied(f"The client's list `{action}` is empty, so that it allows nothing.")
    shown = ", ".join(f"`{pattern}`" for pattern in patterns[:MAX_SHOWN_PATTERNS])
    more = ", …" if len(patterns) > MAX_SHOWN_PATTERNS else ""
    return _denied(f"No pattern in `{action}` covers it. The client has {shown}{more}.")


def _explain_platform_subject(
    tenant_id: str, client_id: str, permissions: Permissions, action: PermissionAction, subject: str
) -> PermissionExplanation:
    """A subject that begins with `$` or `_` is used over direct NATS only, as the client's NATS user allows."""
    grants = client_grants(tenant_id, client_id, permissions)
    grant = grants.publish if action is PermissionAction.PUBLISH else grants.subscribe
    allowed = allows(grant, subject)
    pattern = FULL_WILDCARD if allowed and FULL_WILDCARD in grant.allow else None
    why = _reason(tenant_id, client_id, permissions, action, subject, allowed=allowed)
    return PermissionExplanation(
        allowed=allowed, pattern=pattern, why=f"{why} This is about direct NATS only."
    )


def _reason(  # noqa: PLR0911 - one per kind of subject
    tenant_id: str,
    client_id: str,
    permissions: Permissions,
    action: PermissionAction,
    subject: str,
    *,
    allowed: bool,
) -> str:
    head = subject.partition(".")[0]
    publishes = action is PermissionAction.PUBLISH
    if head in ("$JS", "$KV", "$O"):
        streams = effective_streams(permissions)
        if permissions.streams is not StreamAccess.NONE and streams is StreamAccess.NONE:
            return (
                f"`streams` is `{permissions.streams}`, but JetStream's own API needs `>` in `publish` and `subscribe`;"
                " the client reads history over WebSocket and REST."
            )
        verb = "includes" if allowed else "does not include"
        return f"The client's access to streams is `{streams}`, which {verb} it."
    if head == PRIVATE_INBOX_PREFIX:
        return (
            "Every client may answer the platform's requests."
            if allowed
            else "Only the platform receives replies to its own requests."
        )
    if head == INBOX_PREFIX:
        if publishes:
            return "Every client may answer requests on inboxes."
        if allowed:
            return "The client receives replies to its requests there."
        return f"A client without `>` in `subscribe` has the inboxes `{INBOX_PREFIX}.{client_id}.>` only."
    if publishes and subject in own_reports(tenant_id, client_id):
        return "Every client may publish its own reports."
    if allowed:
        return f"The client's list `{action}` covers it."
    return "The subject belongs to the platform."


def _denied(why: str) -> PermissionExplanation:
    return PermissionExplanation(allowed=False, pattern=None, why=why)
