"""The AWS settings of a stack, for services that run in the test's own process."""

import contextlib

import pytest

from artcafe_common.dev.stack import REGION
from artcafe_common.storage.dynamo import Database


@contextlib.contextmanager
def aws_environment(stack):
    """Set the AWS variables of the stack in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environ().items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        yield


async def call_dynamodb(stack, operation, **arguments):
    """Call DynamoDB of a stack, as often as it is throttled or conflicts; returns the response."""
    async with Database(region=REGION, prefix="", environ=stack.environ()) as database:
        return await database.call(operation, **arguments)
