"""The AWS settings of a stack, for services that run in the test's own process."""

import contextlib

import pytest
from aiobotocore.session import get_session


@contextlib.contextmanager
def aws_environment(stack):
    """Set the AWS variables of the stack in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environ().items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        yield


async def call_dynamodb(stack, operation, **arguments):
    """Call DynamoDB of a stack; returns the response."""
    client = get_session().create_client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=stack.aws_url,
        aws_access_key_id="development",
        aws_secret_access_key="development",
    )
    async with client as dynamodb:
        return await getattr(dynamodb, operation)(**arguments)
