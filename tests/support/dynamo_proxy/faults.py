"""The faults of DynamoDB that the proxy can show, and the answers in AWS's words."""

import json
import random

import msgspec

_NAMESPACE = "com.amazonaws.dynamodb.v20120810#"
TRANSACTION = "TransactWriteItems"
SINGLE_WRITES = ("PutItem", "UpdateItem", "DeleteItem")
BATCH_WRITE = "BatchWriteItem"
WRITES = (*SINGLE_WRITES, BATCH_WRITE, TRANSACTION)
READS = ("GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems")
_CONFLICT = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
_THROTTLED = (
    "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or"
    " index so please try again shortly. If exceptions persist, check if you have a hot key."
)
_EXCEEDED = (
    "The level of configured provisioned throughput for the table was exceeded. Consider increasing your"
    " provisioning level with the UpdateTable API."
)


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What the proxy does to the calls of `operations` (all by default); rates are between 0 and 1.

    `lag_s` is the age of what reads see that are not consistent, and all reads of an index. A transaction takes
    `transaction_s`, and conflicts with others on its items meanwhile. `conflicts` are cancelled besides. `errors` are
    answered with 500 before they are executed, `lost` ones afterwards. `late` ones are answered after `late_s`. The
    connections of `away` ones are reset. With `first`, only that many of the next calls have a fault.
    """

    lag_s: float = 0.0
    transaction_s: float = 0.0
    conflicts: float = 0.0
    throttled: float = 0.0
    errors: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    late_s: float = 0.0
    away: float = 0.0
    operations: tuple[str, ...] = ()
    first: int | None = None
    seed: int = 1


# As a busy DynamoDB: the suite's behaviour must be the same.
BUSY = Faults(lag_s=0.3, transaction_s=0.01, conflicts=0.05, throttled=0.02)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that does not come from the emulator."""

    status: int
    body: dict


class Dice:
    """Decides by a seed which calls have which fault."""

    def __init__(self, faults):
        self.faults = faults
        self._random = random.Random(faults.seed)
        self._calls = 0

    def choose(self, operation):
        """The name of the fault of the next call, or none."""
        faults = self.faults
        if operation not in (faults.operations or (*WRITES, *READS)):
            return None
        self._calls += 1
        if faults.first is not None and self._calls > faults.first:
            return None
        chance = self._random.random()
        rates = {
            "conflicts": faults.conflicts if operation in (TRANSACTION, *SINGLE_WRITES) else 0.0,
            "throttled": faults.throttled,
            "errors": faults.errors,
            "lost": faults.lost if operation in WRITES else 0.0,
            "late": faults.late,
            "away": faults.away,
        }
        for name, rate in rates.items():
            if chance < rate:
                return name
            chance -= rate
        return None

    def one_of(self, choices):
        return self._random.choice(list(choices))


def build_conflict(operation, writes, index):
    """The answer to a write that conflicts with a transaction on its item at `index`."""
    if operation == TRANSACTION:
        return cancel(writes, index, _CONFLICT)
    return _error(400, "TransactionConflictException", _CONFLICT["Message"])


def build_throttled(operation, arguments, dice):
    """The answer to a call above the table's throughput; of a batch, only one item is not written."""
    if operation == BATCH_WRITE:
        return None
    if operation == TRANSACTION and dice.one_of((True, False)):
        writes = arguments["TransactItems"]
        reason = {"Code": "ThrottlingError", "Message": _THROTTLED}
        return cancel(writes, dice.one_of(range(len(writes))), reason)
    if dice.one_of((True, False)):
        return _error(400, "ThrottlingException", _THROTTLED)
    return _error(400, "ProvisionedThroughputExceededException", _EXCEEDED)


def build_internal_error():
    return _error(500, "InternalServerError", "Internal server error")


def cancel(writes, index, reason):
    """The answer to a cancelled transaction."""
    reasons = [reason if number == index else {"Code": "None"} for number in range(len(writes))]
    codes = ", ".join(each["Code"] for each in reasons)
    message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    body = {
        "__type": f"{_NAMESPACE}TransactionCanceledException",
        "CancellationReasons": reasons,
        "Message": message,
    }
    return Answer(status=400, body=body)


def split_batch(arguments):
    """A batch without its last item, and that item as DynamoDB's UnprocessedItems."""
    requests = {table: list(items) for table, items in arguments["RequestItems"].items()}
    table = next(reversed(requests))
    unprocessed = {table: [requests[table].pop()]}
    requests = {name: items for name, items in requests.items() if items}
    return {**arguments, "RequestItems": requests}, unprocessed


def item_keys(operation, arguments, key_names):
    """The keys of the items that a write changes, in order; `key_names` are those of each table."""
    if operation == TRANSACTION:
        writes = [next(iter(item.items())) for item in arguments["TransactItems"]]
    elif operation in SINGLE_WRITES:
        writes = [(operation.removesuffix("Item"), arguments)]
    else:
        return []
    keys = []
    for _, write in writes:
        attributes = write.get("Key") or write.get("Item")
        table = write["TableName"]
        values = {name: attributes[name] for name in key_names.get(table, attributes)}
        keys.append(f"{table} {json.dumps(values, sort_keys=True)}")
    return keys


def _error(status, code, message):
    return Answer(status=status, body={"__type": f"{_NAMESPACE}{code}", "message": message})
