"""What DynamoDB's errors mean for a call: repeat it, report a condition that does not hold, or give up."""

from typing import Any

from botocore.exceptions import ClientError

from artcafe_common.bus.errors import InvalidRequest, StoreUnavailable

_CONFLICTS = {"TransactionConflictException", "TransactionInProgressException", "TransactionConflict"}
_THROTTLED = {
    "ProvisionedThroughputExceededException",
    "ProvisionedThroughputExceeded",
    "ThrottlingException",
    "ThrottlingError",
    "Throttling",
    "RequestLimitExceeded",
}
_SERVER_ERROR = 500
_TOO_LARGE = ("Item size has exceeded", "Item size to update has exceeded", "maximum allowed size")


class ConditionFailed(Exception):
    """The condition of a write does not hold; nothing was written."""


class TransactionFailed(Exception):
    """A transaction was not applied. `failed` contains the indexes of the writes whose condition failed."""

    def __init__(self, failed: tuple[int, ...]) -> None:
        super().__init__(f"conditions failed at {failed}")
        self.failed = failed


class TemporaryFailure(Exception):
    """A call failed for the moment and can be repeated; it may have been executed."""


class Conflict(TemporaryFailure):
    """A write met a transaction on the same item, and was not executed."""


def error_code(error: StoreUnavailable) -> str:
    """DynamoDB's code of the failure; empty if it did not respond."""
    response: dict[str, Any] = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def to_error(error: ClientError) -> Exception:
    """The exception to raise for DynamoDB's error."""
    response: dict[str, Any] = error.response
    code, message = response["Error"]["Code"], response["Error"].get("Message", "")
    if code == "ConditionalCheckFailedException":
        return ConditionFailed()
    if code == "TransactionCanceledException":
        reasons = response.get("CancellationReasons", [])
        codes = [reason.get("Code") for reason in reasons]
        failed = tuple(i for i, each in enumerate(codes) if each == "ConditionalCheckFailed")
        if failed:
            return TransactionFailed(failed)
        causes = {each for each in codes if each and each != "None"}
        return _to_failure(causes, " ".join(reason.get("Message") or "" for reason in reasons))
    if response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= _SERVER_ERROR:
        return TemporaryFailure("DynamoDB failed")
    return _to_failure({code}, message)


def _to_failure(causes: set[str], message: str) -> Exception:
    if any(text in message for text in _TOO_LARGE):
        return InvalidRequest("the resource is larger than the data store can contain (400 KB)")
    if causes <= _CONFLICTS:
        return Conflict("too many concurrent changes")
    if causes <= _CONFLICTS | _THROTTLED:
        return TemporaryFailure("DynamoDB throttles requests")
    return StoreUnavailable("DynamoDB rejected the call")
