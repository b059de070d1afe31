"""FastStream, a framework on nats-py, works unmodified with a seed as the only credential."""

import asyncio
import json
from pathlib import Path

import pytest

from support.packages import create_environment

PACKAGES = ("faststream[nats]==0.7.8", "nkeys==0.2.1")
PROGRAM = Path(__file__).parent / "faststream/program.py"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a virtual environment with FastStream."""
    return create_environment(tmp_path_factory.mktemp("faststream"), *PACKAGES)


async def test_subscribers_requests_and_streams_work(python, tenant):
    reader = await tenant.create_client()
    manager = await tenant.create_client(permissions={"streams": "manage"})
    options = {
        "url": reader.connection["nats_url"],
        "reader": reader.seed,
        "manager": manager.seed,
    }
    process = await asyncio.create_subprocess_exec(
        *(python, str(PROGRAM), json.dumps(options)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert json.loads(out.splitlines()[-1]) == {
        "received": {"number": 1},
        "reply": {"done": 2},
        "stored": {"number": 3},
    }
