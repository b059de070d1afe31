"""The TypeScript SDK, built once for all processes of the tests."""

import pytest

from support.node_sdk import build_sdk_once


@pytest.fixture(scope="session")
def sdk(tmp_path_factory, worker_id):
    """The directory of the built SDK."""
    own = tmp_path_factory.getbasetemp()
    return build_sdk_once(own if worker_id == "master" else own.parent)
