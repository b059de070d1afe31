"""The API's document is tried out on the running API: whatever is answered, the document allows it."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from support.actors import User

SUPPORT = Path(__file__).parents[2] / "support"
# For each operation and way of making requests; `make fuzz` sets it higher.
EXAMPLES = int(os.environ.get("ARTCAFE_TEST_EXAMPLES", "10"))
AT_LEAST = 1000


@pytest.fixture
async def own_stack(new_stack):
    """Hundreds of organizations are founded here: nobody else need live with them."""
    async with new_stack() as running:
        yield running


@pytest.mark.timeout(3600 if EXAMPLES > 10 else 300)
async def test_nothing_is_answered_that_the_document_does_not_allow(own_stack, tmp_path):
    owner = await User.sign_up(own_stack)
    tenant = await owner.create_organization()
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(SUPPORT / "schemathesis.toml"),
        "run",
        f"{own_stack.api}/schema/openapi.json",
        "--checks=all",
        f"--max-examples={EXAMPLES}",
        "--seed=1",
        "--phases=examples,coverage,fuzzing",
        "--no-color",
        f"--header=Authorization: Bearer {owner.token}",
        f"--header=X-Tenant-Id: {tenant.id}",
    ]
    run = await asyncio.create_subprocess_exec(
        *command,
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(SUPPORT / "schemathesis_hooks.py")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told = (await run.communicate())[0].decode()
    assert run.returncode == 0, told
    assert int(re.search(r"(\d+) generated", told)[1]) >= AT_LEAST, told
    # Not because everything was refused.
    health = (await tenant.http.get("/health")).json()
    assert health["status"] == "ok"
    assert (await tenant.call("GET", "/usage/current", 200))["api_calls"] > AT_LEAST / 2
