"""Clients that generators make from the OpenAPI document: no warning, sound types, and every operation can be called."""

import asyncio
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from support.actors import User
from support.api_examples import API, ENDLESS, ROUTES
from support.example_tenant import ExampleTenant
from support.packages import create_environment

SOURCE = Path(__file__).parent / "generators"
ROOT = Path(__file__).parents[3]
ORDER = ("GET", "POST", "PUT", "DELETE")
# Of the tool itself, whatever the document is.
KNOWN_NOTICES = re.compile(r"OpenAPI 3.1 support is still in beta|Failed to get the schema name: null")
# What a caller without a password, or after another call of the list, cannot do.
MAY_FAIL = {
    "accounts_revoke_signing_key",
    "clients_agent_card",
    "subjects_create",
    "agents_create",
    "channels_create",
    "connections_end",
    "subjects_update",
}
pytestmark = [
    pytest.mark.generators,
    # The packages are installed within the first test.
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (shutil.which("node") and shutil.which("npm")),
        reason="needs node and npm, which are not installed",
    ),
]


def run(*command, cwd, env=None):
    result = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )
    output = result.stdout + result.stderr
    assert result.returncode == 0, output[-4000:]
    return output


@pytest.fixture(scope="module")
async def document(stack):
    import httpx  # noqa: PLC0415 - only here

    async with httpx.AsyncClient(base_url=stack.api) as http:
        return (await http.get("/schema/openapi.json")).json()


@pytest.fixture(scope="module")
def packages(tmp_path_factory, document):
    """The locked npm packages, with the document and the generated TypeScript beside them."""
    directory = tmp_path_factory.mktemp("generators")
    shutil.copytree(SOURCE, directory, dirs_exist_ok=True)
    (directory / "openapi.json").write_text(json.dumps(document))
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=directory)
    return directory


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An environment with the generators of the dependency group."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return Path(create_environment(tmp_path_factory.mktemp("python"), *groups["generators"]))


async def invite(tenant):
    """Let another organization invite the owner of this one; returns the invitation's id."""
    other = await (await User.sign_up(tenant.stack)).create_organization()
    body = {"email": tenant.owner.email}
    return (await other.call("POST", f"/accounts/{other.id}/invitations", 201, json=body))["invitation_id"]


async def plan(tenant, document, directory, **extra):
    """Write down a call of every operation, with ids that exist; what deletes comes last."""
    example = await ExampleTenant.create(tenant)
    ids = {**example.ids, "code": "not_found"}
    received = {
        name: {"invitation_id": await invite(tenant)}
        for name in ("invitations_accept", "invitations_decline")
    }
    calls = []
    for route, item in document["paths"].items():
        for method, operation in item.items():
            if f"{method.upper()} {route.removeprefix(API)}" in ENDLESS:
                continue
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            body = None
            if content is not None:
                body = (
                    ROUTES.get(f"{method.upper()} {route.removeprefix(API)}")
                    or next(iter(content["examples"].values()))["value"]
                )
            schema = (content or {}).get("schema", {})
            reference = schema.get("$ref") or next(iter(schema.get("anyOf", ())), {}).get("$ref", "")
            calls.append(
                {
                    "name": operation["operationId"],
                    "tag": operation["tags"][0],
                    "method": method.upper(),
                    "route": route,
                    "path": {
                        parameter["name"]: received.get(operation["operationId"], ids)[parameter["name"]]
                        for parameter in operation["parameters"]
                        if parameter.get("in") == "path"
                    },
                    "body": body,
                    "bodyType": reference.rpartition("/")[2],
                }
            )
    calls.sort(
        key=lambda call: (ORDER.index(call["method"]), call["route"] == f"{API}/accounts/{{account_id}}")
    )
    path = directory / "plan.json"
    path.write_text(
        json.dumps(
            {
                "api": tenant.stack.api,
                "token": tenant.owner.token,
                "tenantId": tenant.id,
                "calls": calls,
                **extra,
            }
        )
    )
    return calls, path


def check(calls, statuses, document):
    assert statuses.keys() == {call["name"] for call in calls}
    for call in calls:
        status = statuses[call["name"]]
        assert str(status) in document["paths"][call["route"]][call["method"].lower()]["responses"], call
        if call["tag"] != "auth" and call["name"] not in MAY_FAIL:
            assert status < 300, (call, status)


def test_document_follows_the_recommended_rules_of_linters(packages):
    output = run(
        "npx", "redocly", "lint", "openapi.json", "--extends=recommended", "--format=json", cwd=packages
    )
    report, _ = json.JSONDecoder().raw_decode(output[output.index("{") :])
    problems = [each["message"] for each in report["problems"] if not each.get("ignored")]
    assert problems == []
    spectral = run(
        "npx", "spectral", "lint", "openapi.json", "-r", "spectral.yaml", "-F", "hint", cwd=packages
    )
    assert "No results" in spectral


@pytest.fixture(scope="module")
def typescript(packages):
    """The generated TypeScript, checked and compiled."""
    for command in (
        ("npx", "openapi-ts", "-i", "openapi.json", "-o", "hey"),
        ("npx", "openapi-typescript", "openapi.json", "-o", "paths.ts"),
    ):
        output = run(*command, cwd=packages)
        assert not re.search("warn|deprecated", output, re.IGNORECASE), output
    run("npx", "tsc", "-p", "tsconfig.json", cwd=packages)
    return packages


@pytest.mark.parametrize("generator", ["hey", "openapi-typescript"])
async def test_typescript_client_calls_every_operation(tenant, document, typescript, generator):
    calls, path = await plan(tenant, document, typescript, generator=generator)
    output = await asyncio.to_thread(run, "node", "call.mjs", str(path), cwd=typescript)
    check(calls, json.loads(output), document)


async def test_python_client_calls_every_operation(tenant, document, python, tmp_path):
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    output = await asyncio.to_thread(
        run,
        *(str(python.with_name("openapi-python-client")), "generate", "--path", "openapi.json"),
        *("--output-path", "generated", "--meta", "none", "--fail-on-warning"),
        *("--config", str(SOURCE / "openapi_python_client.yaml")),
        cwd=tmp_path,
        env={"PATH": f"{python.parent}:/usr/bin:/bin"},
    )
    assert "warning" not in output.lower(), output
    types = await asyncio.to_thread(
        subprocess.run,
        [str(python), "-m", "mypy", "generated/models", "generated/api"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    # The other files are the generator's own, the same for every document.
    errors = [line for line in types.stdout.splitlines() if re.match("generated/(models|api)/", line)]
    assert errors == []
    calls, path = await plan(tenant, document, tmp_path)
    shutil.copy(SOURCE / "call_openapi_python_client.py", tmp_path)
    output = await asyncio.to_thread(
        run, str(python), "call_openapi_python_client.py", str(path), cwd=tmp_path
    )
    check(calls, json.loads(output), document)


@pytest.mark.skipif(not shutil.which("java"), reason="needs Java, which is not installed")
async def test_openapi_generators_client_calls_every_operation(tenant, document, python, tmp_path):
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    output = await asyncio.to_thread(
        run,
        *(str(python.with_name("openapi-generator-cli")), "generate", "-g", "python"),
        *("-i", "openapi.json", "-o", "."),
        cwd=tmp_path,
    )
    notices = [line for line in output.splitlines() if re.search("WARN|ERROR", line)]
    assert [line for line in notices if not KNOWN_NOTICES.search(line)] == []
    calls, path = await plan(tenant, document, tmp_path)
    shutil.copy(SOURCE / "call_openapi_generator.py", tmp_path)
    output = await asyncio.to_thread(run, str(python), "call_openapi_generator.py", str(path), cwd=tmp_path)
    check(calls, json.loads(output), document)
