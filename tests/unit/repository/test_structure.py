"""Rules about the source tree that no linter checks."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = sorted(path for top in ("libs", "services") for path in (ROOT / top).glob("*/src/**/*.py"))
SERVICES = ("gateway", "identity", "metering", "presence", "tenancy")
ON_THE_BUS = [name for name in SERVICES if name != "gateway"]
MAX_LINES = 400
STORE_CLIENTS = {"boto3", "botocore", "aiobotocore", "redis"}
# The storage modules, Cognito, and what sets up an emulated AWS.
MAY_IMPORT_STORE_CLIENTS = {
    "libs/common/src/artcafe_common/backup/bucket.py",
    "libs/common/src/artcafe_common/dev/stack.py",
    "libs/common/src/artcafe_common/storage/aws_session.py",
    "libs/common/src/artcafe_common/storage/dynamo.py",
    "libs/common/src/artcafe_common/storage/dynamo_errors.py",
    "libs/common/src/artcafe_common/storage/items.py",
    "libs/common/src/artcafe_common/storage/redis_client.py",
    "libs/common/src/artcafe_common/storage/redis_pool.py",
    "libs/common/src/artcafe_common/storage/redis_errors.py",
    "libs/common/src/artcafe_common/storage/sentinels.py",
    "libs/common/src/artcafe_common/storage/table.py",
    "libs/common/src/artcafe_common/storage/tenant_table.py",
    "services/identity/src/artcafe_identity/app.py",
    "services/identity/src/artcafe_identity/cognito.py",
    "services/metering/src/artcafe_metering/archive.py",
    # These import only boto3's condition expressions.
    "services/identity/src/artcafe_identity/store.py",
    "services/tenancy/src/artcafe_tenancy/activity_table.py",
    "services/tenancy/src/artcafe_tenancy/outbox.py",
    "services/tenancy/src/artcafe_tenancy/unique_names.py",
    "services/tenancy/src/artcafe_tenancy/store.py",
    "services/tenancy/src/artcafe_tenancy/subject_table.py",
    "services/tenancy/src/artcafe_tenancy/channel_subscription_table.py",
    "services/tenancy/src/artcafe_tenancy/client_table.py",
    "services/tenancy/src/artcafe_tenancy/deletion_table.py",
    "services/tenancy/src/artcafe_tenancy/invitation_table.py",
}


def relative(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_files(service):
    package = ROOT / f"services/{service}/src/artcafe_{service}"
    expected = ["__init__.py", "__main__.py", "app.py", "settings.py", "py.typed"]
    if service in ON_THE_BUS:
        expected += ["endpoints.py", "store.py", "tables.py"]
    assert [name for name in expected if not (package / name).exists()] == []
    assert not (package / "utils.py").exists()


def test_source_files_stay_below_the_line_limit():
    long = {relative(path) for path in SOURCES if len(path.read_text().splitlines()) > MAX_LINES}
    # Generated: one class for each error code.
    assert long - {"libs/client/src/artcafe_client/error_codes.py"} == set()


def test_only_stores_import_store_clients():
    importing = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            else:
                continue
            if any(module.partition(".")[0] in STORE_CLIENTS for module in modules):
                importing.add(relative(path))
    assert importing - MAY_IMPORT_STORE_CLIENTS == set()


def test_value_of_a_cache_that_expires_is_read_in_one_look():
    """It can expire after `in`; `get`, `pop` and `setdefault` look once."""
    reads = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        caches = {
            ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign | ast.AnnAssign)
            and isinstance(node.value, ast.Call)
            and ast.unparse(node.value.func).startswith("TTLCache")
        }
        # `Cache` catches the KeyError.
        if path.name != "cache.py":
            reads += [
                f"{path.relative_to(ROOT)}:{node.lineno}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Subscript)
                and isinstance(node.ctx, ast.Load | ast.Del)
                and ast.unparse(node.value) in caches
            ]
    assert reads == []


def test_what_runs_together_ends_together():
    """`gather` leaves the others running when one fails, or the caller is gone; `artcafe_common.concurrency` does not."""
    # The SDK also runs on Python 3.10, which has no TaskGroup.
    sources = [path for path in SOURCES if "artcafe_client" not in path.parts]
    calls = [
        f"{relative(path)}:{node.lineno}"
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "asyncio.gather"
        and not any(keyword.arg == "return_exceptions" for keyword in node.keywords)
    ]
    assert calls == []


def test_no_type_of_a_field_has_the_name_of_a_field():
    """From Python 3.14 on, `date: date` says that the type is the field itself, since it is looked up later."""
    found = [
        f"{relative(path)}:{field.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for fields in [[each for each in node.body if isinstance(each, ast.AnnAssign)]]
        for field in fields
        if {each.target.id for each in fields}
        & {part.id for part in ast.walk(field.annotation) if isinstance(part, ast.Name)}
    ]
    assert found == []


def test_every_module_can_be_imported():
    """In a new process, so that no module depends on another import."""
    modules = [path for path in SOURCES if path.name != "__main__.py"]
    relative_paths = [path.relative_to(next(p for p in path.parents if p.name == "src")) for path in modules]
    names = sorted(".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in relative_paths)
    assert len(names) > 100
    lines = "".join(f"import {name}\n" for name in names)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", lines], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_imports_have_no_side_effects():
    """No import creates a client, a connection, a task or settings."""
    calls = {"connect", "create_client", "create_task", "load", "run", "from_url", "getenv"}
    found = []
    for path in SOURCES:
        if path.name == "__main__.py":
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If):
                continue
            for call in (each for each in ast.walk(node) if isinstance(each, ast.Call)):
                name = (
                    call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                )
                if name in calls:
                    found.append(f"{relative(path)}:{call.lineno} {name}")
    assert found == []
