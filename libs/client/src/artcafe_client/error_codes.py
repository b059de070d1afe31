"""The exceptions of the server's error codes, one class each.

`make docs` generates this module from the errors that the services declare.
"""

from artcafe_client.errors import ServerError


class AccountDeleted(ServerError):
    """An owner deleted the organization: its clients cannot connect, and its members can only read, export or restore it."""

    code = "account_deleted"
    status = 403
    remedy = (
        "An owner can restore it with `POST /api/v1/accounts/{account_id}/restore` until its `deletion_at`."
    )


class AccountMissing(ServerError):
    """No NATS account exists for the organization or the public key."""

    code = "account_missing"
    status = 404
    remedy = "Check the id of the organization. If it is correct, ask the operator."


class AccountNotFound(ServerError):
    """The organization does not exist, or the caller is not a member of it."""

    code = "account_not_found"
    status = 404
    remedy = "Check the id with `GET /api/v1/accounts`."


class AccountSuspended(ServerError):
    """The operator suspended the organization: its members cannot use it and its clients cannot connect until it resumes."""

    code = "account_suspended"
    status = 403
    remedy = "Ask the operator. Nothing of the organization was deleted."


class AgentCardNotFound(ServerError):
    """The client has no agent card: `agent_card` in its metadata."""

    code = "agent_card_not_found"
    status = 404
    remedy = 'Set the card with `PUT /api/v1/clients/{client_id}` and `{"metadata": {"agent_card": {…}}}`.'


class AgentNotFound(ServerError):
    """The organization has no agent with this id."""

    code = "agent_not_found"
    status = 404
    remedy = "Check the id with `GET /api/v1/agents`."


class AuthenticationFailed(ServerError):
    """The signature, key, challenge or token was rejected; the reason is not disclosed."""

    code = "authentication_failed"
    status = 401
    remedy = "Check the id and the key. A challenge is valid once and until it expires: request a new one for each attempt."


class BadFrame(ServerError):
    """A field of the frame is missing, malformed, or conflicts with another."""

    code = "bad_frame"
    status = 400
    remedy = "Correct the field named in the message; the AsyncAPI document has the schema of each frame."


class BadGateway(ServerError):
    """A service sent a reply that its contract does not declare."""

    code = "bad_gateway"
    status = 502
    remedy = "Retry later. If it persists, report the `request_id` to the operator."


class BadHeaders(ServerError):
    """The message has too many or too long headers, or a header's name or value is malformed or reserved."""

    code = "bad_headers"
    status = 400
    remedy = "Send at most 32 headers of 4096 bytes in total. A name is a token that does not start with Nats- or Artcafe-; a value is one printable line."


class BadQueue(ServerError):
    """The name of the queue group has an empty token, white space, a control character, a wildcard or over 255 bytes."""

    code = "bad_queue"
    status = 400
    remedy = "Use a name like a subject without wildcards, for example `workers` or `orders.workers`."


class BadRequest(ServerError):
    """The HTTP request is malformed."""

    code = "bad_request"
    status = 400
    remedy = "Send a well-formed HTTP request: check its headers, its encoding and its length."


class BadStatus(ServerError):
    """The `status` of a heartbeat or presence frame is no word that a client may report; the rest of it is ignored."""

    code = "bad_status"
    status = 400
    remedy = "Omit `status`, or send one of: online, offline, idle, busy, away, ready, initialized, starting, running, stopping, stopped, ok, healthy, degraded, warning, unhealthy, error, critical, failing, unknown."


class BadSubject(ServerError):
    """The subject has an empty token, white space, a control character, more than 255 bytes or a misplaced wildcard."""

    code = "bad_subject"
    status = 400
    remedy = "Separate tokens by dots. Use `*` and `>` only as whole tokens in subscriptions, and `>` only as the last one."


class BodyTooLarge(ServerError):
    """The body exceeds the maximum request size (1 MiB)."""

    code = "body_too_large"
    status = 413
    remedy = "Send a smaller body, or split it over several requests."


class BrokerUnavailable(ServerError):
    """The gateway has no connection to the tenant's NATS account; nothing was published."""

    code = "broker_unavailable"
    status = 503
    remedy = "Repeat the request with exponential back-off; the gateway reconnects by itself."


class ChallengeRateExceeded(ServerError):
    """Too many challenges were requested within a minute for this agent, or from this address."""

    code = "challenge_rate_exceeded"
    status = 429
    remedy = "Wait for the time in `Retry-After`, and request one challenge for each login."


class ChannelNotFound(ServerError):
    """The organization has no channel with this id or name."""

    code = "channel_not_found"
    status = 404
    remedy = "Check the id with `GET /api/v1/channels`, or create the channel."


class ClientNotAllowed(ServerError):
    """The token is a client's, and the route is for people, or about another client."""

    code = "client_not_allowed"
    status = 403
    remedy = "With a client's token, publish to channels, read their history and events, and read the roster, agent cards and the client's own status. For everything else sign in as a person."


class ClientNotFound(ServerError):
    """The organization has no client with this id."""

    code = "client_not_found"
    status = 404
    remedy = "Check the id with `GET /api/v1/clients`."


class ConnectionNotFound(ServerError):
    """The organization has no live connection with this id."""

    code = "connection_not_found"
    status = 404
    remedy = "Check the id with `GET /api/v1/connections`; the connection may have ended."


class CsrfTokenMissing(ServerError):
    """The request uses the session cookie without its `X-CSRF-Token` header, or with a wrong one."""

    code = "csrf_token_missing"
    status = 403
    remedy = "Send the value of the cookie `artcafe_csrf` in the header `X-CSRF-Token`."


class DeadlineExceeded(ServerError):
    """A service did not reply in time; the operation may or may not have been carried out."""

    code = "deadline_exceeded"
    status = 504
    remedy = "Check whether the change was made before you repeat the request, or repeat it with the same `Idempotency-Key`."


class Forbidden(ServerError):
    """The caller's role does not allow the operation, or the organization is not one of the caller's."""

    code = "forbidden"
    status = 403
    remedy = "Use an identity with the required role, or ask an administrator of the organization."


class ForbiddenSubject(ServerError):
    """The subject belongs to another organization or to the platform, or the client's permissions do not include it."""

    code = "forbidden_subject"
    status = 403
    remedy = "Use a subject of your own organization, or change the client's permissions."


class HeadersTooLarge(ServerError):
    """The headers of the request exceed 64 KiB."""

    code = "headers_too_large"
    status = 431
    remedy = "Send fewer or shorter headers."


class HistoryUnavailable(ServerError):
    """History was requested (`since`, `last`, or a page), but none is stored for this subject."""

    code = "history_unavailable"
    status = 501
    remedy = "Request the history of a channel or subject that stores messages, or omit `since` and `last`."


class IdempotencyInProgress(ServerError):
    """The first request with this `Idempotency-Key` is still in progress."""

    code = "idempotency_in_progress"
    status = 409
    remedy = "Repeat the request with the same key after the number of seconds in `Retry-After`."


class IdempotencyKeyReused(ServerError):
    """The `Idempotency-Key` was used with a different request in the last 24 hours."""

    code = "idempotency_key_reused"
    status = 422
    remedy = "Send a new `Idempotency-Key` with each new request. Reuse a key only to repeat the identical request."


class IdempotencyNotReplayable(ServerError):
    """The first request with this `Idempotency-Key` was executed, and its response is not stored. It had a secret that is shown once, or was too large."""

    code = "idempotency_not_replayable"
    status = 409
    remedy = "The resource exists: find it in its list. If you did not receive its secret, issue a new one with a new `Idempotency-Key` (`regenerate-nkey`, `generate-nkey`), or delete the agent and create it again."


class InternalError(ServerError):
    """A service failed unexpectedly; its log contains the `request_id`."""

    code = "internal_error"
    status = 500
    remedy = "Retry later. If it persists, report the `request_id` to the operator."


class InvalidCredentials(ServerError):
    """The e-mail address and the password do not match."""

    code = "invalid_credentials"
    status = 401
    remedy = "Check the e-mail address and the password, and sign in again."


class InvalidCursor(ServerError):
    """The cursor was not issued for this list of this organization."""

    code = "invalid_cursor"
    status = 400
    remedy = "Use the `next_cursor` of the previous page unchanged, or omit `cursor` to read the first page."


class InvalidLoginCode(ServerError):
    """The code of the authenticator app is wrong or has expired."""

    code = "invalid_login_code"
    status = 401
    remedy = "Sign in again with the code that the authenticator app shows now."


class InvalidPeriod(ServerError):
    """The end of the period is before its start, or the period is too long."""

    code = "invalid_period"
    status = 400
    remedy = "Choose an `end_date` that is not before `start_date`, and a shorter period."


class InvalidPermission(ServerError):
    """A pattern is malformed, or includes subjects that are not the organization's; or `streams` needs wider patterns."""

    code = "invalid_permission"
    status = 400
    remedy = "Use patterns of your organization's subjects, such as `orders.>`. Give `streams` the value `manage` only together with `>` in both lists."


class InvalidRefreshToken(ServerError):
    """The refresh token has expired, was revoked or used already, or is not one of this service."""

    code = "invalid_refresh_token"
    status = 401
    remedy = "Sign in again with `POST /api/v1/auth/login`."


class InvalidRequest(ServerError):
    """A field is missing, unknown or has an invalid value; `errors` names the fields."""

    code = "invalid_request"
    status = 400
    remedy = "Correct the fields that `errors` names."


class InvalidToken(ServerError):
    """The bearer token is malformed, expired, or not issued for this service."""

    code = "invalid_token"
    status = 401
    remedy = "Sign in again, or refresh the token with `POST /api/v1/auth/refresh`."


class InvitationLimitReached(ServerError):
    """The organization has as many open invitations as it may have."""

    code = "invitation_limit"
    status = 409
    remedy = "Revoke invitations that are not needed any more, or wait until they expire."


class InvitationNotFound(ServerError):
    """There is no open invitation with this id: it was revoked, accepted or declined, or it has expired. An invited person finds only those for the e-mail address that the identity provider has verified."""

    code = "invitation_not_found"
    status = 404
    remedy = "Check the id, and that you are signed in with the invited e-mail address; else ask for a new invitation."


class KeyConflict(ServerError):
    """Another request replaced the client's key at the same time; only the key of that request is valid."""

    code = "key_conflict"
    status = 409
    remedy = "Use the key of the other request, or regenerate the key again."


class KeyRateExceeded(ServerError):
    """The organization created more than 100 keys in the last hour."""

    code = "key_rate_exceeded"
    status = 429
    remedy = "Wait for the time in `Retry-After`, and reuse the keys that exist."


class LastOwner(ServerError):
    """The organization would have no owner."""

    code = "last_owner"
    status = 409
    remedy = "Make another member an owner first."


class LoginChallengeRequired(ServerError):
    """The identity provider asks for another step, such as a new password or a second factor; `detail` names it. `errors` names the field of the login that answers it, if there is one."""

    code = "login_challenge_required"
    status = 403
    remedy = "Sign in again with the field that `errors` names (`new_password`, or `code` of an authenticator app); any other step is completed at the identity provider's own sign-in page."


class LoginRefused(ServerError):
    """The identity provider refuses the login by a rule of its own, whatever the password."""

    code = "login_refused"
    status = 403
    remedy = "Ask the operator of the service why the account may not sign in."


class MemberExists(ServerError):
    """The user is already a member of the organization."""

    code = "member_exists"
    status = 409
    remedy = "Change the member's role with `PUT /api/v1/accounts/{account_id}/members/{user_id}`."


class MemberNotFound(ServerError):
    """The organization has no member with this user id."""

    code = "member_not_found"
    status = 404
    remedy = "Check the id with `GET /api/v1/accounts/{account_id}/members`."


class MessageTooLarge(ServerError):
    """A message that was published directly over NATS does not fit into a WebSocket frame of 1 MiB. It arrives as this error in its place; `detail` has its subject and size, and its `seq` if it is stored."""

    code = "message_too_large"
    status = 413
    remedy = "Subscribe directly over NATS, or have the publisher send less: at most 1,000,000 bytes of JSON, or 750,000 bytes of other data."


class MethodNotAllowed(ServerError):
    """The path exists, but does not support this HTTP method."""

    code = "method_not_allowed"
    status = 405
    remedy = "Use one of the methods in the `Allow` header."


class NameTaken(ServerError):
    """The name is already used in this organization."""

    code = "name_taken"
    status = 409
    remedy = "Choose another name; names that differ only in upper and lower case, or in the form of letters, are equal."


class NewPasswordRefused(ServerError):
    """The new password does not follow the rules of the identity provider."""

    code = "new_password_refused"
    status = 400
    remedy = "Choose a longer password, with letters, digits and signs, that was not used before."


class NoResponders(ServerError):
    """No client subscribes to the subject of a request."""

    code = "no_responders"
    status = 503
    remedy = "Check the subject, and that a responder is connected and subscribes to it."


class NotFound(ServerError):
    """The path does not exist, or contains an id of an impossible form."""

    code = "not_found"
    status = 404
    remedy = "Check the path and the ids in it against the API reference."


class NotJson(ServerError):
    """The message is not JSON text in UTF-8."""

    code = "not_json"
    status = 400
    remedy = (
        "Send one JSON object per message. Three messages in a row that are not JSON close the connection."
    )


class OrganizationLimitReached(ServerError):
    """The user created as many organizations as one person may create."""

    code = "organization_limit"
    status = 409
    remedy = "Use an organization that you have, or ask the operator for a higher limit."


class PasswordResetRequired(ServerError):
    """The person has to set a new password first."""

    code = "password_reset_required"
    status = 403
    remedy = "Reset the password at the identity provider's own sign-in page, then sign in again."


class PayloadTooLarge(ServerError):
    """The message exceeds 1,000,000 bytes, or the broker's maximum with its headers."""

    code = "payload_too_large"
    status = 413
    remedy = "Send a smaller message: store large data elsewhere, and publish a reference to it."


class PlanLimitReached(ServerError):
    """The plan's limit for this kind of resource is reached; `detail` names the limit and its number."""

    code = "plan_limit"
    status = 409
    remedy = "Delete resources that you do not need, or ask the operator for a larger plan."


class PreconditionFailed(ServerError):
    """The resource was changed after the version that `If-Match` names; nothing was changed by this request."""

    code = "precondition_failed"
    status = 412
    remedy = "Read the resource again, apply your change to it, and send the new `ETag` in `If-Match`."


class ProviderThrottled(ServerError):
    """The OpenID provider accepts no more calls of the service at the moment."""

    code = "provider_throttled"
    status = 503
    remedy = "Retry after the time in `Retry-After`, with an increasing delay."


class ProviderUnavailable(ServerError):
    """The OpenID provider does not respond, or its response is not what it should be."""

    code = "provider_unavailable"
    status = 503
    remedy = "Retry after the time in `Retry-After`, with an increasing delay."


class PublishUncertain(ServerError):
    """The connection to the broker broke, or no acknowledgement arrived, after the message was sent. The message may have been published and stored, or not."""

    code = "publish_uncertain"
    status = 504
    remedy = "Publish it again. With the same `message_id`, or `Idempotency-Key` over REST, within two minutes, a channel stores and delivers it once."


class QueueHasNoHistory(ServerError):
    """A member of a queue group receives new messages only: what each of its members received is not recorded."""

    code = "queue_has_no_history"
    status = 400
    remedy = "Omit `since` and `last`, or `queue`."


class QuotaExceeded(ServerError):
    """The organization has published as many messages this month as its plan allows."""

    code = "quota_exceeded"
    status = 429
    remedy = "Wait for the next billing period, or change to a plan with a higher quota."


class RateLimited(ServerError):
    """The caller exceeded the limit of REST calls per minute, or of messages per second."""

    code = "rate_limited"
    status = 429
    remedy = "Wait for the time in `Retry-After` or `retry_after_ms`, then send at a lower rate."


class RecoveryDelayed(ServerError):
    """The history of a channel that is subscribed to with `since` or `last` cannot be read for some seconds. Its messages wait, and arrive when it can be read again. `detail` has the `channel` and the `seq` of the last message that was delivered."""

    code = "recovery_delayed"
    status = 503
    remedy = (
        "Wait: the gateway tries again by itself, and closes the connection if that fails for two minutes."
    )


class RecoveryFailed(ServerError):
    """The history of a channel that is subscribed to with `since` or `last` could not be read for two minutes. The connection is closed with 1013. `detail` has the `channel` and the `seq` of the last message that was delivered."""

    code = "recovery_failed"
    status = 503
    remedy = "Reconnect, and subscribe with `since` one more than the `seq` in `detail`."


class RequestTooSlow(ServerError):
    """The headers, or the body, of the request did not arrive in time (`ARTCAFE_REQUEST_TIMEOUT_S`)."""

    code = "request_timeout"
    status = 408
    remedy = "Repeat the request over a new connection, and send it without pauses."


class ServerBusy(ServerError):
    """Too many clients authenticate at the same time."""

    code = "server_busy"
    status = 503
    remedy = "Connect again after `retry_after_ms`, with exponential back-off and jitter."


class ServiceUnavailable(ServerError):
    """No instance of a service is available; the request was not processed."""

    code = "service_unavailable"
    status = 503
    remedy = "Retry after the time in `Retry-After`, with an increasing delay."


class SigningKeyNotFound(ServerError):
    """The organization has no signing key with this public key."""

    code = "signing_key_not_found"
    status = 404
    remedy = "Check the key with `GET /api/v1/accounts/{account_id}/signing-keys`: it may have been replaced or revoked."


class StoreUnavailable(ServerError):
    """DynamoDB or Redis did not respond, or refused the request because of its own state."""

    code = "store_unavailable"
    status = 503
    remedy = "Retry after the time in `Retry-After`, with an increasing delay, and send an `Idempotency-Key` with each POST request."


class StreamRefused(ServerError):
    """The broker rejected the configuration of the stream; `detail` is its reason."""

    code = "stream_refused"
    status = 409
    remedy = "Lower the retention limits, or delete streams that you do not need."


class StreamUnavailable(ServerError):
    """The stream that stores the channel's messages does not exist now, or cannot be reached; nothing was published."""

    code = "stream_unavailable"
    status = 503
    remedy = "Repeat the request with exponential back-off; a missing stream is restored within a minute."


class SubjectNotFound(ServerError):
    """The organization has no subject record with this id."""

    code = "subject_not_found"
    status = 404
    remedy = "Check the id with `GET /api/v1/subjects`."


class SubjectOverlap(ServerError):
    """Another stream of the organization stores messages of the same subjects."""

    code = "subject_overlap"
    status = 409
    remedy = (
        "Choose a pattern that does not overlap with channels, other subject records or streams of your own."
    )


class TenantRequired(ServerError):
    """The user belongs to several organizations, and the request does not select one."""

    code = "tenant_required"
    status = 400
    remedy = "Send the `X-Tenant-Id` header (REST) or the `tenant_id` parameter (WebSocket)."


class RequestTimeout(ServerError):
    """No reply arrived within the timeout of the request."""

    code = "timeout"
    status = 504
    remedy = "Repeat the request if the responder is idempotent, or set a longer `timeout_ms`."


class TooManyLoginAttempts(ServerError):
    """The identity provider locked the account for a while after wrong passwords."""

    code = "too_many_login_attempts"
    status = 429
    remedy = "Wait for the time in `Retry-After`, and check the password before the next attempt."


class TooManyRequests(ServerError):
    """The WebSocket has the maximum number of pending requests."""

    code = "too_many_requests"
    status = 429
    remedy = "Wait for replies to earlier requests before sending new ones."


class TooManySockets(ServerError):
    """As many WebSockets as one network address may have are still authenticating."""

    code = "too_many_sockets"
    status = 429
    remedy = "Authenticate open connections first; connect again after `Retry-After`, with exponential back-off and jitter."


class TooManySubscriptions(ServerError):
    """The WebSocket has the maximum number of subscriptions."""

    code = "too_many_subscriptions"
    status = 409
    remedy = "End unused subscriptions, subscribe to a wildcard, or open another connection."


class Unauthenticated(ServerError):
    """The request has no credential, or the credential is not valid."""

    code = "unauthenticated"
    status = 401
    remedy = "Send a valid bearer token in the `Authorization` header."


class UnknownType(ServerError):
    """The endpoint has no frame of this `type`."""

    code = "unknown_type"
    status = 400
    remedy = "Send a type that the AsyncAPI document lists for this endpoint."


class UnsupportedContentEncoding(ServerError):
    """`Content-Encoding` names a coding of the body, such as gzip; bodies are accepted without one."""

    code = "unsupported_content_encoding"
    status = 415
    remedy = "Send the body uncompressed, without the header `Content-Encoding`."


class UserNotConfirmed(ServerError):
    """The person has not confirmed the e-mail address yet."""

    code = "user_not_confirmed"
    status = 403
    remedy = "Confirm the account with the code that the identity provider sent, then sign in again."


ERRORS: dict[str, type[ServerError]] = {
    each.code: each
    for each in (
        AccountDeleted,
        AccountMissing,
        AccountNotFound,
        AccountSuspended,
        AgentCardNotFound,
        AgentNotFound,
        AuthenticationFailed,
        BadFrame,
        BadGateway,
        BadHeaders,
        BadQueue,
        BadRequest,
        BadStatus,
        BadSubject,
        BodyTooLarge,
        BrokerUnavailable,
        ChallengeRateExceeded,
        ChannelNotFound,
        ClientNotAllowed,
        ClientNotFound,
        ConnectionNotFound,
        CsrfTokenMissing,
        DeadlineExceeded,
        Forbidden,
        ForbiddenSubject,
        HeadersTooLarge,
        HistoryUnavailable,
        IdempotencyInProgress,
        IdempotencyKeyReused,
        IdempotencyNotReplayable,
        InternalError,
        InvalidCredentials,
        InvalidCursor,
        InvalidLoginCode,
        InvalidPeriod,
        InvalidPermission,
        InvalidRefreshToken,
        InvalidRequest,
        InvalidToken,
        InvitationLimitReached,
        InvitationNotFound,
        KeyConflict,
        KeyRateExceeded,
        LastOwner,
        LoginChallengeRequired,
        LoginRefused,
        MemberExists,
        MemberNotFound,
        MessageTooLarge,
        MethodNotAllowed,
        NameTaken,
        NewPasswordRefused,
        NoResponders,
        NotFound,
        NotJson,
        OrganizationLimitReached,
        PasswordResetRequired,
        PayloadTooLarge,
        PlanLimitReached,
        PreconditionFailed,
        ProviderThrottled,
        ProviderUnavailable,
        PublishUncertain,
        QueueHasNoHistory,
        QuotaExceeded,
        RateLimited,
        RecoveryDelayed,
        RecoveryFailed,
        RequestTooSlow,
        ServerBusy,
        ServiceUnavailable,
        SigningKeyNotFound,
        StoreUnavailable,
        StreamRefused,
        StreamUnavailable,
        SubjectNotFound,
        SubjectOverlap,
        TenantRequired,
        RequestTimeout,
        TooManyLoginAttempts,
        TooManyRequests,
        TooManySockets,
        TooManySubscriptions,
        Unauthenticated,
        UnknownType,
        UnsupportedContentEncoding,
        UserNotConfirmed,
    )
}
