"""The AWS settings of a stack, for services that run in the test's own process."""

import contextlib

import pytest


@contextlib.contextmanager
def aws_environment(stack):
    """Set the AWS variables of the stack in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environ().items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        yield
