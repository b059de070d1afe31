"""Errors that several parts of the gateway raise; an error used in one module stays there."""

from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import ReportedStatus


class RateLimited(CommandError):
    """The caller exceeded the limit of REST calls per minute, or of messages per second."""

    status = 429
    code = "rate_limited"
    title = "Too many calls or messages"
    remedy = "Wait for the time in `Retry-After` or `retry_after_ms`, then send at a lower rate."


class QuotaExceeded(CommandError):
    """The organization has published as many messages this month as its plan allows."""

    status = 429
    code = "quota_exceeded"
    title = "The monthly message quota is exhausted"
    remedy = "Wait for the next billing period, or change to a plan with a higher quota."


class BrokerUnavailable(CommandError):
    """The gateway has no connection to the tenant's NATS account; nothing was published."""

    status = 503
    code = "broker_unavailable"
    title = "The message broker is not available"
    remedy = "Repeat the request with exponential back-off; the gateway reconnects by itself."


class StreamUnavailable(CommandError):
    """The stream that stores the channel's messages does not exist now, or cannot be reached; nothing was published."""

    status = 503
    code = "stream_unavailable"
    title = "The channel cannot store messages now"
    remedy = "Repeat the request with exponential back-off; a missing stream is restored within a minute."


class PublishUncertain(CommandError):
    """The connection to the broker broke, or no acknowledgement arrived, after the message was sent.

    The message may have been published and stored, or not.
    """

    status = 504
    code = "publish_uncertain"
    title = "Whether the message was published is not known"
    remedy = (
        "Publish it again. With the same `message_id`, or `Idempotency-Key` over REST, within two minutes, a channel "
        "stores and delivers it once."
    )


class NoResponders(CommandError):
    """No client subscribes to the subject of a request."""

    status = 503
    code = "no_responders"
    title = "No client subscribes to this subject"
    remedy = "Check the subject, and that a responder is connected and subscribes to it."


class RequestTimeout(CommandError):
    """No reply arrived within the timeout of the request."""

    status = 504
    code = "timeout"
    title = "No reply within the timeout"
    remedy = "Repeat the request if the responder is idempotent, or set a longer `timeout_ms`."


class RequestTooSlow(CommandError):
    """The headers, or the body, of the request did not arrive in time (`ARTCAFE_REQUEST_TIMEOUT_S`)."""

    status = 408
    code = "request_timeout"
    title = "The request did not arrive in time"
    remedy = "Repeat the request over a new connection, and send it without pauses."


class HeadersTooLarge(CommandError):
    """The headers of the request exceed 64 KiB."""

    status = 431
    code = "headers_too_large"
    title = "The request's headers are too large"
    remedy = "Send fewer or shorter headers."


class PayloadTooLarge(CommandError):
    """The message exceeds 1,000,000 bytes, or the broker's maximum with its headers."""

    status = 413
    code = "payload_too_large"
    title = "The message is too large"
    remedy = "Send a smaller message: store large data elsewhere, and publish a reference to it."


class BadStatus(CommandError):
    """The `status` of a heartbeat or presence frame is no word that a client may report; the rest of it is ignored."""

    status = 400
    code = "bad_status"
    title = "The status is not known"
    remedy = f"Omit `status`, or send one of: {', '.join(ReportedStatus)}."


class HistoryUnavailable(CommandError):
    """History was requested (`since`, `last`, or a page), but none is stored for this subject."""

    status = 501
    code = "history_unavailable"
    title = "No history is stored for this subject"
    remedy = "Request the history of a channel or subject that stores messages, or omit `since` and `last`."


class QueueHasNoHistory(CommandError):
    """A member of a queue group receives new messages only: what each of its members received is not recorded."""

    status = 400
    code = "queue_has_no_history"
    title = "A queue group has no history"
    remedy = "Omit `since` and `last`, or `queue`."


class TooManySubscriptions(CommandError):
    """The WebSocket has the maximum number of subscriptions."""

    status = 409
    code = "too_many_subscriptions"
    title = "Too many subscriptions on this connection"
    remedy = "End unused subscriptions, subscribe to a wildcard, or open another connection."


class TooManyRequests(CommandError):
    """The WebSocket has the maximum number of pending requests."""

    status = 429
    code = "too_many_requests"
    title = "Too many pending requests on this connection"
    remedy = "Wait for replies to earlier requests before sending new ones."
