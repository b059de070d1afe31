"""The session of the AWS SDK."""

from functools import cache

from aiobotocore.session import AioSession, get_session


@cache
def aws_session() -> AioSession:
    """One for the process: it reads the descriptions of the services once, which takes a quarter of a second."""
    return get_session()
