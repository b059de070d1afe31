"""Property-based tests of the REST API against its OpenAPI document."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from support.actors import User

SUPPORT = Path(__file__).parents[2] / "support"
# Per operation and phase; `make fuzz` sets a higher number.
EXAMPLES = int(os.environ.get("ARTCAFE_TEST_EXAMPLES", "5"))
MINIMUM_REQUESTS = 1000


@pytest.fixture
async def fuzzed_stack(new_stack):
    # The fuzzer creates hundreds of organizations.
    async with new_stack({"ARTCAFE_ORGANIZATIONS_PER_USER": "100000"}) as stack:
        yield stack


@pytest.mark.timeout(3600 if EXAMPLES > 10 else 300)
async def test_every_response_conforms_to_the_openapi_document(fuzzed_stack, tmp_path):
    owner = await User.sign_up(fuzzed_stack)
    tenant = await owner.create_organization()
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(SUPPORT / "schemathesis.toml"),
        "run",
        f"{fuzzed_stack.api}/schema/openapi.json",
        "--checks=all",
        f"--max-examples={EXAMPLES}",
        "--seed=1",
        # Its response does not end.
        "--exclude-operation-id=channels_events",
        "--phases=examples,coverage,fuzzing",
        "--no-color",
        f"--header=Authorization: Bearer {owner.token}",
        f"--header=X-Tenant-Id: {tenant.id}",
    ]
    run = await asyncio.create_subprocess_exec(
        *command,
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": str(SUPPORT / "schemathesis_hooks.py"),
            "ARTCAFE_TEST_TENANT": tenant.id,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await run.communicate())[0].decode()
    assert run.returncode == 0, output
    assert int(re.search(r"(\d+) generated", output)[1]) >= MINIMUM_REQUESTS, output
    # A sufficient number of requests was accepted.
    health = (await tenant.http.get("/health")).json()
    assert health["status"] == "ok"
    assert (await tenant.call("GET", "/usage/current", 200))["api_calls"] > MINIMUM_REQUESTS / 2
