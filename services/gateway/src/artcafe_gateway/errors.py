"""Errors that several parts of the gateway raise; an error used in one module stays there."""

from artcafe_common.bus.errors import CommandError


class RateLimited(CommandError):
    """Too many REST calls in a minute, or too many messages at once."""

    status = 429
    code = "rate_limited"
    title = "Too many at once"


class QuotaExceeded(CommandError):
    """The organization has published as many messages as its plan allows in a month."""

    status = 429
    code = "quota_exceeded"
    title = "The month's messages are used up"


class BrokerUnavailable(CommandError):
    """The tenant's connection to the broker is down; nothing was published."""

    status = 503
    code = "broker_unavailable"
    title = "The message broker is not available"


class NoResponders(CommandError):
    """No client subscribes to the subject of a request."""

    status = 503
    code = "no_responders"
    title = "Nobody answers this subject"


class RequestTimeout(CommandError):
    """No reply arrived within the request's timeout."""

    status = 504
    code = "timeout"
    title = "No reply in time"


class PayloadTooLarge(CommandError):
    """The message exceeds the broker's maximum payload."""

    status = 413
    code = "payload_too_large"
    title = "The message is too large"


class HistoryUnavailable(CommandError):
    """History was requested (`since`, `last`, or a page) where none is stored."""

    status = 501
    code = "history_unavailable"
    title = "No history is kept for this subject"


class TooManySubscriptions(CommandError):
    """One socket has a bounded number of subscriptions."""

    status = 409
    code = "too_many_subscriptions"
    title = "This connection has as many subscriptions as it may have"


class TooManyRequests(CommandError):
    """One socket has a bounded number of requests that wait for a reply."""

    status = 429
    code = "too_many_requests"
    title = "This connection waits for as many replies as it may"
