// The errors of the server's error codes, one class each. `make docs` generates this module from the errors that the
// services declare.

import { ServerError } from "./errors.js";

/**
 * An owner deleted the organization: its clients cannot connect, and its members can only read, export or restore it.
 * Remedy: An owner can restore it with `POST /api/v1/accounts/{account_id}/restore` until its `deletion_at`.
 */
export class AccountDeleted extends ServerError {
  static override readonly code = "account_deleted";
  static override readonly status = 403;
}

/**
 * No NATS account exists for the organization or the public key.
 * Remedy: Check the id of the organization. If it is correct, ask the operator.
 */
export class AccountMissing extends ServerError {
  static override readonly code = "account_missing";
  static override readonly status = 404;
}

/**
 * The organization does not exist, or the caller is not a member of it.
 * Remedy: Check the id with `GET /api/v1/accounts`.
 */
export class AccountNotFound extends ServerError {
  static override readonly code = "account_not_found";
  static override readonly status = 404;
}

/**
 * The operator suspended the organization: its members cannot use it and its clients cannot connect until it resumes.
 * Remedy: Ask the operator. Nothing of the organization was deleted.
 */
export class AccountSuspended extends ServerError {
  static override readonly code = "account_suspended";
  static override readonly status = 403;
}

/**
 * The client has no agent card: `agent_card` in its metadata.
 * Remedy: Set the card with `PUT /api/v1/clients/{client_id}` and `{"metadata": {"agent_card": {…}}}`.
 */
export class AgentCardNotFound extends ServerError {
  static override readonly code = "agent_card_not_found";
  static override readonly status = 404;
}

/**
 * The organization has no agent with this id.
 * Remedy: Check the id with `GET /api/v1/agents`.
 */
export class AgentNotFound extends ServerError {
  static override readonly code = "agent_not_found";
  static override readonly status = 404;
}

/**
 * The signature, key, challenge or token was rejected; the reason is not disclosed.
 * Remedy: Check the id and the key. A challenge is valid once and until it expires: request a new one for each attempt.
 */
export class AuthenticationFailed extends ServerError {
  static override readonly code = "authentication_failed";
  static override readonly status = 401;
}

/**
 * A field of the frame is missing, malformed, or conflicts with another.
 * Remedy: Correct the field named in the message; the AsyncAPI document has the schema of each frame.
 */
export class BadFrame extends ServerError {
  static override readonly code = "bad_frame";
  static override readonly status = 400;
}

/**
 * A service sent a reply that its contract does not declare.
 * Remedy: Retry later. If it persists, report the `request_id` to the operator.
 */
export class BadGateway extends ServerError {
  static override readonly code = "bad_gateway";
  static override readonly status = 502;
}

/**
 * The message has too many or too long headers, or a header's name or value is malformed or reserved.
 * Remedy: Send at most 32 headers of 4096 bytes in total. A name is a token that does not start with Nats- or Artcafe-;
 * a value is one printable line.
 */
export class BadHeaders extends ServerError {
  static override readonly code = "bad_headers";
  static override readonly status = 400;
}

/**
 * The name of the queue group has an empty token, white space, a control character, a wildcard or over 255 bytes.
 * Remedy: Use a name like a subject without wildcards, for example `workers` or `orders.workers`.
 */
export class BadQueue extends ServerError {
  static override readonly code = "bad_queue";
  static override readonly status = 400;
}

/**
 * The HTTP request is malformed.
 * Remedy: Send a well-formed HTTP request: check its headers, its encoding and its length.
 */
export class BadRequest extends ServerError {
  static override readonly code = "bad_request";
  static override readonly status = 400;
}

/**
 * The `status` of a heartbeat or presence frame is no word that a client may report; the rest of it is ignored.
 * Remedy: Omit `status`, or send one of: online, offline, idle, busy, away, ready, initialized, starting, running,
 * stopping, stopped, ok, healthy, degraded, warning, unhealthy, error, critical, failing, unknown.
 */
export class BadStatus extends ServerError {
  static override readonly code = "bad_status";
  static override readonly status = 400;
}

/**
 * The subject has an empty token, white space, a control character, more than 255 bytes or a misplaced wildcard.
 * Remedy: Separate tokens by dots. Use `*` and `>` only as whole tokens in subscriptions, and `>` only as the last one.
 */
export class BadSubject extends ServerError {
  static override readonly code = "bad_subject";
  static override readonly status = 400;
}

/**
 * The body exceeds the maximum request size (1 MiB).
 * Remedy: Send a smaller body, or split it over several requests.
 */
export class BodyTooLarge extends ServerError {
  static override readonly code = "body_too_large";
  static override readonly status = 413;
}

/**
 * The gateway has no connection to the tenant's NATS account; nothing was published.
 * Remedy: Repeat the request with exponential back-off; the gateway reconnects by itself.
 */
export class BrokerUnavailable extends ServerError {
  static override readonly code = "broker_unavailable";
  static override readonly status = 503;
}

/**
 * Too many challenges were requested within a minute for this agent, or from this address.
 * Remedy: Wait for the time in `Retry-After`, and request one challenge for each login.
 */
export class ChallengeRateExceeded extends ServerError {
  static override readonly code = "challenge_rate_exceeded";
  static override readonly status = 429;
}

/**
 * The organization has no channel with this id or name.
 * Remedy: Check the id with `GET /api/v1/channels`, or create the channel.
 */
export class ChannelNotFound extends ServerError {
  static override readonly code = "channel_not_found";
  static override readonly status = 404;
}

/**
 * The token is a client's, and the route is for people, or about another client.
 * Remedy: With a client's token, publish to channels, read their history and events, and read the roster, agent cards
 * and the client's own status. For everything else sign in as a person.
 */
export class ClientNotAllowed extends ServerError {
  static override readonly code = "client_not_allowed";
  static override readonly status = 403;
}

/**
 * The organization has no client with this id.
 * Remedy: Check the id with `GET /api/v1/clients`.
 */
export class ClientNotFound extends ServerError {
  static override readonly code = "client_not_found";
  static override readonly status = 404;
}

/**
 * The organization has no live connection with this id.
 * Remedy: Check the id with `GET /api/v1/connections`; the connection may have ended.
 */
export class ConnectionNotFound extends ServerError {
  static override readonly code = "connection_not_found";
  static override readonly status = 404;
}

/**
 * The request uses the session cookie without its `X-CSRF-Token` header, or with a wrong one.
 * Remedy: Send the value of the cookie `artcafe_csrf` in the header `X-CSRF-Token`.
 */
export class CsrfTokenMissing extends ServerError {
  static override readonly code = "csrf_token_missing";
  static override readonly status = 403;
}

/**
 * A service did not reply in time; the operation may or may not have been carried out.
 * Remedy: Check whether the change was made before you repeat the request, or repeat it with the same `Idempotency-
 * Key`.
 */
export class DeadlineExceeded extends ServerError {
  static override readonly code = "deadline_exceeded";
  static override readonly status = 504;
}

/**
 * The caller's role does not allow the operation, or the organization is not one of the caller's.
 * Remedy: Use an identity with the required role, or ask an administrator of the organization.
 */
export class Forbidden extends ServerError {
  static override readonly code = "forbidden";
  static override readonly status = 403;
}

/**
 * The subject belongs to another organization or to the platform, or the client's permissions do not include it.
 * Remedy: Use a subject of your own organization, or change the client's permissions.
 */
export class ForbiddenSubject extends ServerError {
  static override readonly code = "forbidden_subject";
  static override readonly status = 403;
}

/**
 * The headers of the request exceed 64 KiB.
 * Remedy: Send fewer or shorter headers.
 */
export class HeadersTooLarge extends ServerError {
  static override readonly code = "headers_too_large";
  static override readonly status = 431;
}

/**
 * History was requested (`since`, `last`, or a page), but none is stored for this subject.
 * Remedy: Request the history of a channel or subject that stores messages, or omit `since` and `last`.
 */
export class HistoryUnavailable extends ServerError {
  static override readonly code = "history_unavailable";
  static override readonly status = 501;
}

/**
 * The first request with this `Idempotency-Key` is still in progress.
 * Remedy: Repeat the request with the same key after the number of seconds in `Retry-After`.
 */
export class IdempotencyInProgress extends ServerError {
  static override readonly code = "idempotency_in_progress";
  static override readonly status = 409;
}

/**
 * The `Idempotency-Key` was used with a different request in the last 24 hours.
 * Remedy: Send a new `Idempotency-Key` with each new request. Reuse a key only to repeat the identical request.
 */
export class IdempotencyKeyReused extends ServerError {
  static override readonly code = "idempotency_key_reused";
  static override readonly status = 422;
}

/**
 * The first request with this `Idempotency-Key` was executed, and its response is not stored. It had a secret that is
 * shown once, or was too large.
 * Remedy: The resource exists: find it in its list. If you did not receive its secret, issue a new one with a new
 * `Idempotency-Key` (`regenerate-nkey`, `generate-nkey`), or delete the agent and create it again.
 */
export class IdempotencyNotReplayable extends ServerError {
  static override readonly code = "idempotency_not_replayable";
  static override readonly status = 409;
}

/**
 * A service failed unexpectedly; its log contains the `request_id`.
 * Remedy: Retry later. If it persists, report the `request_id` to the operator.
 */
export class InternalError extends ServerError {
  static override readonly code = "internal_error";
  static override readonly status = 500;
}

/**
 * The e-mail address and the password do not match.
 * Remedy: Check the e-mail address and the password, and sign in again.
 */
export class InvalidCredentials extends ServerError {
  static override readonly code = "invalid_credentials";
  static override readonly status = 401;
}

/**
 * The cursor was not issued for this list of this organization.
 * Remedy: Use the `next_cursor` of the previous page unchanged, or omit `cursor` to read the first page.
 */
export class InvalidCursor extends ServerError {
  static override readonly code = "invalid_cursor";
  static override readonly status = 400;
}

/**
 * The code of the authenticator app is wrong or has expired.
 * Remedy: Sign in again with the code that the authenticator app shows now.
 */
export class InvalidLoginCode extends ServerError {
  static override readonly code = "invalid_login_code";
  static override readonly status = 401;
}

/**
 * The end of the period is before its start, or the period is too long.
 * Remedy: Choose an `end_date` that is not before `start_date`, and a shorter period.
 */
export class InvalidPeriod extends ServerError {
  static override readonly code = "invalid_period";
  static override readonly status = 400;
}

/**
 * A pattern is malformed, or includes subjects that are not the organization's; or `streams` needs wider patterns.
 * Remedy: Use patterns of your organization's subjects, such as `orders.>`. Give `streams` the value `manage` only
 * together with `>` in both lists.
 */
export class InvalidPermission extends ServerError {
  static override readonly code = "invalid_permission";
  static override readonly status = 400;
}

/**
 * The refresh token has expired, was revoked or used already, or is not one of this service.
 * Remedy: Sign in again with `POST /api/v1/auth/login`.
 */
export class InvalidRefreshToken extends ServerError {
  static override readonly code = "invalid_refresh_token";
  static override readonly status = 401;
}

/**
 * A field is missing, unknown or has an invalid value; `errors` names the fields.
 * Remedy: Correct the fields that `errors` names.
 */
export class InvalidRequest extends ServerError {
  static override readonly code = "invalid_request";
  static override readonly status = 400;
}

/**
 * The bearer token is malformed, expired, or not issued for this service.
 * Remedy: Sign in again, or refresh the token with `POST /api/v1/auth/refresh`.
 */
export class InvalidToken extends ServerError {
  static override readonly code = "invalid_token";
  static override readonly status = 401;
}

/**
 * The organization has as many open invitations as it may have.
 * Remedy: Revoke invitations that are not needed any more, or wait until they expire.
 */
export class InvitationLimitReached extends ServerError {
  override readonly name = "InvitationLimitReached";
  static override readonly code = "invitation_limit";
  static override readonly status = 409;
}

/**
 * There is no open invitation with this id: it was revoked, accepted or declined, or it has expired. An invited person
 * finds only those for the e-mail address that the identity provider has verified.
 * Remedy: Check the id, and that you are signed in with the invited e-mail address; else ask for a new invitation.
 */
export class InvitationNotFound extends ServerError {
  static override readonly code = "invitation_not_found";
  static override readonly status = 404;
}

/**
 * Another request replaced the client's key at the same time; only the key of that request is valid.
 * Remedy: Use the key of the other request, or regenerate the key again.
 */
export class KeyConflict extends ServerError {
  static override readonly code = "key_conflict";
  static override readonly status = 409;
}

/**
 * The organization created more than 100 keys in the last hour.
 * Remedy: Wait for the time in `Retry-After`, and reuse the keys that exist.
 */
export class KeyRateExceeded extends ServerError {
  static override readonly code = "key_rate_exceeded";
  static override readonly status = 429;
}

/**
 * The organization would have no owner.
 * Remedy: Make another member an owner first.
 */
export class LastOwner extends ServerError {
  static override readonly code = "last_owner";
  static override readonly status = 409;
}

/**
 * The identity provider asks for another step, such as a new password or a second factor; `detail` names it. `errors`
 * names the field of the login that answers it, if there is one.
 * Remedy: Sign in again with the field that `errors` names (`new_password`, or `code` of an authenticator app); any
 * other step is completed at the identity provider's own sign-in page.
 */
export class LoginChallengeRequired extends ServerError {
  static override readonly code = "login_challenge_required";
  static override readonly status = 403;
}

/**
 * The identity provider refuses the login by a rule of its own, whatever the password.
 * Remedy: Ask the operator of the service why the account may not sign in.
 */
export class LoginRefused extends ServerError {
  static override readonly code = "login_refused";
  static override readonly status = 403;
}

/**
 * The user is already a member of the organization.
 * Remedy: Change the member's role with `PUT /api/v1/accounts/{account_id}/members/{user_id}`.
 */
export class MemberExists extends ServerError {
  static override readonly code = "member_exists";
  static override readonly status = 409;
}

/**
 * The organization has no member with this user id.
 * Remedy: Check the id with `GET /api/v1/accounts/{account_id}/members`.
 */
export class MemberNotFound extends ServerError {
  static override readonly code = "member_not_found";
  static override readonly status = 404;
}

/**
 * A message that was published directly over NATS does not fit into a WebSocket frame of 1 MiB. It arrives as this
 * error in its place; `detail` has its subject and size, and its `seq` if it is stored.
 * Remedy: Subscribe directly over NATS, or have the publisher send less: at most 1,000,000 bytes of JSON, or 750,000
 * bytes of other data.
 */
export class MessageTooLarge extends ServerError {
  static override readonly code = "message_too_large";
  static override readonly status = 413;
}

/**
 * The path exists, but does not support this HTTP method.
 * Remedy: Use one of the methods in the `Allow` header.
 */
export class MethodNotAllowed extends ServerError {
  static override readonly code = "method_not_allowed";
  static override readonly status = 405;
}

/**
 * The name is already used in this organization.
 * Remedy: Choose another name; names that differ only in upper and lower case, or in the form of letters, are equal.
 */
export class NameTaken extends ServerError {
  static override readonly code = "name_taken";
  static override readonly status = 409;
}

/**
 * The new password does not follow the rules of the identity provider.
 * Remedy: Choose a longer password, with letters, digits and signs, that was not used before.
 */
export class NewPasswordRefused extends ServerError {
  static override readonly code = "new_password_refused";
  static override readonly status = 400;
}

/**
 * No client subscribes to the subject of a request.
 * Remedy: Check the subject, and that a responder is connected and subscribes to it.
 */
export class NoResponders extends ServerError {
  static override readonly code = "no_responders";
  static override readonly status = 503;
}

/**
 * The path does not exist, or contains an id of an impossible form.
 * Remedy: Check the path and the ids in it against the API reference.
 */
export class NotFound extends ServerError {
  static override readonly code = "not_found";
  static override readonly status = 404;
}

/**
 * The message is not JSON text in UTF-8.
 * Remedy: Send one JSON object per message. Three messages in a row that are not JSON close the connection.
 */
export class NotJson extends ServerError {
  static override readonly code = "not_json";
  static override readonly status = 400;
}

/**
 * The user created as many organizations as one person may create.
 * Remedy: Use an organization that you have, or ask the operator for a higher limit.
 */
export class OrganizationLimitReached extends ServerError {
  override readonly name = "OrganizationLimitReached";
  static override readonly code = "organization_limit";
  static override readonly status = 409;
}

/**
 * The person has to set a new password first.
 * Remedy: Reset the password at the identity provider's own sign-in page, then sign in again.
 */
export class PasswordResetRequired extends ServerError {
  static override readonly code = "password_reset_required";
  static override readonly status = 403;
}

/**
 * The message exceeds 1,000,000 bytes, or the broker's maximum with its headers.
 * Remedy: Send a smaller message: store large data elsewhere, and publish a reference to it.
 */
export class PayloadTooLarge extends ServerError {
  static override readonly code = "payload_too_large";
  static override readonly status = 413;
}

/**
 * The plan's limit for this kind of resource is reached; `detail` names the limit and its number.
 * Remedy: Delete resources that you do not need, or ask the operator for a larger plan.
 */
export class PlanLimitReached extends ServerError {
  override readonly name = "PlanLimitReached";
  static override readonly code = "plan_limit";
  static override readonly status = 409;
}

/**
 * The resource was changed after the version that `If-Match` names; nothing was changed by this request.
 * Remedy: Read the resource again, apply your change to it, and send the new `ETag` in `If-Match`.
 */
export class PreconditionFailed extends ServerError {
  static override readonly code = "precondition_failed";
  static override readonly status = 412;
}

/**
 * The OpenID provider accepts no more calls of the service at the moment.
 * Remedy: Retry after the time in `Retry-After`, with an increasing delay.
 */
export class ProviderThrottled extends ServerError {
  static override readonly code = "provider_throttled";
  static override readonly status = 503;
}

/**
 * The OpenID provider does not respond, or its response is not what it should be.
 * Remedy: Retry after the time in `Retry-After`, with an increasing delay.
 */
export class ProviderUnavailable extends ServerError {
  static override readonly code = "provider_unavailable";
  static override readonly status = 503;
}

/**
 * The connection to the broker broke, or no acknowledgement arrived, after the message was sent. The message may have
 * been published and stored, or not.
 * Remedy: Publish it again. With the same `message_id`, or `Idempotency-Key` over REST, within two minutes, a channel
 * stores and delivers it once.
 */
export class PublishUncertain extends ServerError {
  static override readonly code = "publish_uncertain";
  static override readonly status = 504;
}

/**
 * A member of a queue group receives new messages only: what each of its members received is not recorded.
 * Remedy: Omit `since` and `last`, or `queue`.
 */
export class QueueHasNoHistory extends ServerError {
  static override readonly code = "queue_has_no_history";
  static override readonly status = 400;
}

/**
 * The organization has published as many messages this month as its plan allows.
 * Remedy: Wait for the next billing period, or change to a plan with a higher quota.
 */
export class QuotaExceeded extends ServerError {
  static override readonly code = "quota_exceeded";
  static override readonly status = 429;
}

/**
 * The caller exceeded the limit of REST calls per minute, or of messages per second.
 * Remedy: Wait for the time in `Retry-After` or `retry_after_ms`, then send at a lower rate.
 */
export class RateLimited extends ServerError {
  static override readonly code = "rate_limited";
  static override readonly status = 429;
}

/**
 * The history of a channel that is subscribed to with `since` or `last` cannot be read for some seconds. Its messages
 * wait, and arrive when it can be read again. `detail` has the `channel` and the `seq` of the last message that was
 * delivered.
 * Remedy: Wait: the gateway tries again by itself, and closes the connection if that fails for two minutes.
 */
export class RecoveryDelayed extends ServerError {
  static override readonly code = "recovery_delayed";
  static override readonly status = 503;
}

/**
 * The history of a channel that is subscribed to with `since` or `last` could not be read for two minutes. The
 * connection is closed with 1013. `detail` has the `channel` and the `seq` of the last message that was delivered.
 * Remedy: Reconnect, and subscribe with `since` one more than the `seq` in `detail`.
 */
export class RecoveryFailed extends ServerError {
  static override readonly code = "recovery_failed";
  static override readonly status = 503;
}

/**
 * The headers, or the body, of the request did not arrive in time (`ARTCAFE_REQUEST_TIMEOUT_S`).
 * Remedy: Repeat the request over a new connection, and send it without pauses.
 */
export class RequestTooSlow extends ServerError {
  override readonly name = "RequestTooSlow";
  static override readonly code = "request_timeout";
  static override readonly status = 408;
}

/**
 * Too many clients authenticate at the same time.
 * Remedy: Connect again after `retry_after_ms`, with exponential back-off and jitter.
 */
export class ServerBusy extends ServerError {
  static override readonly code = "server_busy";
  static override readonly status = 503;
}

/**
 * No instance of a service is available; the request was not processed.
 * Remedy: Retry after the time in `Retry-After`, with an increasing delay.
 */
export class ServiceUnavailable extends ServerError {
  static override readonly code = "service_unavailable";
  static override readonly status = 503;
}

/**
 * The organization has no signing key with this public key.
 * Remedy: Check the key with `GET /api/v1/accounts/{account_id}/signing-keys`: it may have been replaced or revoked.
 */
export class SigningKeyNotFound extends ServerError {
  static override readonly code = "signing_key_not_found";
  static override readonly status = 404;
}

/**
 * DynamoDB or Redis did not respond, or refused the request because of its own state.
 * Remedy: Retry after the time in `Retry-After`, with an increasing delay, and send an `Idempotency-Key` with each POST
 * request.
 */
export class StoreUnavailable extends ServerError {
  static override readonly code = "store_unavailable";
  static override readonly status = 503;
}

/**
 * The broker rejected the configuration of the stream; `detail` is its reason.
 * Remedy: Lower the retention limits, or delete streams that you do not need.
 */
export class StreamRefused extends ServerError {
  static override readonly code = "stream_refused";
  static override readonly status = 409;
}

/**
 * The stream that stores the channel's messages does not exist now, or cannot be reached; nothing was published.
 * Remedy: Repeat the request with exponential back-off; a missing stream is restored within a minute.
 */
export class StreamUnavailable extends ServerError {
  static override readonly code = "stream_unavailable";
  static override readonly status = 503;
}

/**
 * The organization has no subject record with this id.
 * Remedy: Check the id with `GET /api/v1/subjects`.
 */
export class SubjectNotFound extends ServerError {
  static override readonly code = "subject_not_found";
  static override readonly status = 404;
}

/**
 * Another stream of the organization stores messages of the same subjects.
 * Remedy: Choose a pattern that does not overlap with channels, other subject records or streams of your own.
 */
export class SubjectOverlap extends ServerError {
  static override readonly code = "subject_overlap";
  static override readonly status = 409;
}

/**
 * The user belongs to several organizations, and the request does not select one.
 * Remedy: Send the `X-Tenant-Id` header (REST) or the `tenant_id` parameter (WebSocket).
 */
export class TenantRequired extends ServerError {
  static override readonly code = "tenant_required";
  static override readonly status = 400;
}

/**
 * No reply arrived within the timeout of the request.
 * Remedy: Repeat the request if the responder is idempotent, or set a longer `timeout_ms`.
 */
export class RequestTimeout extends ServerError {
  override readonly name = "RequestTimeout";
  static override readonly code = "timeout";
  static override readonly status = 504;
}

/**
 * The identity provider locked the account for a while after wrong passwords.
 * Remedy: Wait for the time in `Retry-After`, and check the password before the next attempt.
 */
export class TooManyLoginAttempts extends ServerError {
  static override readonly code = "too_many_login_attempts";
  static override readonly status = 429;
}

/**
 * The WebSocket has the maximum number of pending requests.
 * Remedy: Wait for replies to earlier requests before sending new ones.
 */
export class TooManyRequests extends ServerError {
  static override readonly code = "too_many_requests";
  static override readonly status = 429;
}

/**
 * As many WebSockets as one network address may have are still authenticating.
 * Remedy: Authenticate open connections first; connect again after `Retry-After`, with exponential back-off and jitter.
 */
export class TooManySockets extends ServerError {
  static override readonly code = "too_many_sockets";
  static override readonly status = 429;
}

/**
 * The WebSocket has the maximum number of subscriptions.
 * Remedy: End unused subscriptions, subscribe to a wildcard, or open another connection.
 */
export class TooManySubscriptions extends ServerError {
  static override readonly code = "too_many_subscriptions";
  static override readonly status = 409;
}

/**
 * The request has no credential, or the credential is not valid.
 * Remedy: Send a valid bearer token in the `Authorization` header.
 */
export class Unauthenticated extends ServerError {
  static override readonly code = "unauthenticated";
  static override readonly status = 401;
}

/**
 * The endpoint has no frame of this `type`.
 * Remedy: Send a type that the AsyncAPI document lists for this endpoint.
 */
export class UnknownType extends ServerError {
  static override readonly code = "unknown_type";
  static override readonly status = 400;
}

/**
 * `Content-Encoding` names a coding of the body, such as gzip; bodies are accepted without one.
 * Remedy: Send the body uncompressed, without the header `Content-Encoding`.
 */
export class UnsupportedContentEncoding extends ServerError {
  static override readonly code = "unsupported_content_encoding";
  static override readonly status = 415;
}

/**
 * The person has not confirmed the e-mail address yet.
 * Remedy: Confirm the account with the code that the identity provider sent, then sign in again.
 */
export class UserNotConfirmed extends ServerError {
  static override readonly code = "user_not_confirmed";
  static override readonly status = 403;
}

/** The class of each error code. */
export const ERRORS: Readonly<Record<string, typeof ServerError>> = {
  account_deleted: AccountDeleted,
  account_missing: AccountMissing,
  account_not_found: AccountNotFound,
  account_suspended: AccountSuspended,
  agent_card_not_found: AgentCardNotFound,
  agent_not_found: AgentNotFound,
  authentication_failed: AuthenticationFailed,
  bad_frame: BadFrame,
  bad_gateway: BadGateway,
  bad_headers: BadHeaders,
  bad_queue: BadQueue,
  bad_request: BadRequest,
  bad_status: BadStatus,
  bad_subject: BadSubject,
  body_too_large: BodyTooLarge,
  broker_unavailable: BrokerUnavailable,
  challenge_rate_exceeded: ChallengeRateExceeded,
  channel_not_found: ChannelNotFound,
  client_not_allowed: ClientNotAllowed,
  client_not_found: ClientNotFound,
  connection_not_found: ConnectionNotFound,
  csrf_token_missing: CsrfTokenMissing,
  deadline_exceeded: DeadlineExceeded,
  forbidden: Forbidden,
  forbidden_subject: ForbiddenSubject,
  headers_too_large: HeadersTooLarge,
  history_unavailable: HistoryUnavailable,
  idempotency_in_progress: IdempotencyInProgress,
  idempotency_key_reused: IdempotencyKeyReused,
  idempotency_not_replayable: IdempotencyNotReplayable,
  internal_error: InternalError,
  invalid_credentials: InvalidCredentials,
  invalid_cursor: InvalidCursor,
  invalid_login_code: InvalidLoginCode,
  invalid_period: InvalidPeriod,
  invalid_permission: InvalidPermission,
  invalid_refresh_token: InvalidRefreshToken,
  invalid_request: InvalidRequest,
  invalid_token: InvalidToken,
  invitation_limit: InvitationLimitReached,
  invitation_not_found: InvitationNotFound,
  key_conflict: KeyConflict,
  key_rate_exceeded: KeyRateExceeded,
  last_owner: LastOwner,
  login_challenge_required: LoginChallengeRequired,
  login_refused: LoginRefused,
  member_exists: MemberExists,
  member_not_found: MemberNotFound,
  message_too_large: MessageTooLarge,
  method_not_allowed: MethodNotAllowed,
  name_taken: NameTaken,
  new_password_refused: NewPasswordRefused,
  no_responders: NoResponders,
  not_found: NotFound,
  not_json: NotJson,
  organization_limit: OrganizationLimitReached,
  password_reset_required: PasswordResetRequired,
  payload_too_large: PayloadTooLarge,
  plan_limit: PlanLimitReached,
  precondition_failed: PreconditionFailed,
  provider_throttled: ProviderThrottled,
  provider_unavailable: ProviderUnavailable,
  publish_uncertain: PublishUncertain,
  queue_has_no_history: QueueHasNoHistory,
  quota_exceeded: QuotaExceeded,
  rate_limited: RateLimited,
  recovery_delayed: RecoveryDelayed,
  recovery_failed: RecoveryFailed,
  request_timeout: RequestTooSlow,
  server_busy: ServerBusy,
  service_unavailable: ServiceUnavailable,
  signing_key_not_found: SigningKeyNotFound,
  store_unavailable: StoreUnavailable,
  stream_refused: StreamRefused,
  stream_unavailable: StreamUnavailable,
  subject_not_found: SubjectNotFound,
  subject_overlap: SubjectOverlap,
  tenant_required: TenantRequired,
  timeout: RequestTimeout,
  too_many_login_attempts: TooManyLoginAttempts,
  too_many_requests: TooManyRequests,
  too_many_sockets: TooManySockets,
  too_many_subscriptions: TooManySubscriptions,
  unauthenticated: Unauthenticated,
  unknown_type: UnknownType,
  unsupported_content_encoding: UnsupportedContentEncoding,
  user_not_confirmed: UserNotConfirmed,
};
