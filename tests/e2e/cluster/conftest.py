"""A cluster of three brokers."""

import pytest

from support.actors import User
from support.cluster_stack import ClusterStack
from support.stack import running_stack


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory):
    """A stack whose servers are killed; with short heartbeat intervals."""
    settings = {"ARTCAFE_HEARTBEAT_INTERVAL_S": "1", "ARTCAFE_HEARTBEAT_TIMEOUT_S": "60"}
    async with running_stack(tmp_path_factory.mktemp("cluster"), settings, kind=ClusterStack) as stack:
        yield stack


@pytest.fixture
async def org(cluster):
    return await (await User.sign_up(cluster)).create_organization()
