"""The faults of the proxy that bring DynamoDB into each state of the documented table."""

import contextlib

from support.dynamo_proxy.faults import READS, WRITES, Faults

# Health checks as well.
_ALL = (*READS, *WRITES, "DescribeTable")
_LAG_S = 3.0
_STATES = {
    "away": Faults(away=1.0, operations=_ALL),
    "timeout": Faults(late=1.0, late_s=10.0, operations=_ALL),
    "throttled": Faults(throttled=1.0, operations=_ALL),
    "errors": Faults(errors=1.0, operations=_ALL),
    "conflicts": Faults(conflicts=1.0, operations=WRITES),
    "some_throttled": Faults(throttled=0.2, operations=_ALL),
    "some_conflicts": Faults(conflicts=0.2, transaction_s=0.01),
    "lagging": Faults(lag_s=_LAG_S),
}


@contextlib.asynccontextmanager
async def dynamodb_in(stack, state):
    """A context in which the DynamoDB of a stack with a proxy is in a state."""
    await stack.set_faults(_STATES[state])
    try:
        yield
    finally:
        await stack.set_faults(Faults())
