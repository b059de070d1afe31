"""The rules of the house that no linter knows: where things are, and what each service may do."""

import ast
import asyncio
import subprocess
import sys
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import RawCredentials

from artcafe_common.bus.client import inbox_prefix
from artcafe_common.dev.stack import Stack
from artcafe_common.installation.permissions import called_services, published_events
from support.stack import free_ports

ROOT = Path(__file__).parents[3]
SOURCES = sorted(path for top in ("libs", "services") for path in (ROOT / top).glob("*/src/**/*.py"))
SERVICES = ("gateway", "identity", "metering", "presence", "tenancy")
ON_THE_BUS = [name for name in SERVICES if name != "gateway"]
MAX_LINES = 400
STORES = {"boto3", "botocore", "aiobotocore", "redis"}
# Besides the stores of Redis and the one of DynamoDB: Cognito, and the stand-ins for all of them.
MAY_REACH_STORES = {
    "libs/common/src/artcafe_common/dev/stack.py",
    "libs/common/src/artcafe_common/storage/dynamo.py",
    "libs/common/src/artcafe_common/storage/items.py",
    "libs/common/src/artcafe_common/storage/redis_client.py",
    "libs/common/src/artcafe_common/storage/table.py",
    "libs/common/src/artcafe_common/storage/tenant_table.py",
    "services/identity/src/artcafe_identity/app.py",
    "services/identity/src/artcafe_identity/cognito.py",
    "services/metering/src/artcafe_metering/store.py",
    "services/presence/src/artcafe_presence/store.py",
    # These write conditions and nothing else of it.
    "services/identity/src/artcafe_identity/store.py",
    "services/tenancy/src/artcafe_tenancy/activity_table.py",
    "services/tenancy/src/artcafe_tenancy/outbox.py",
    "services/tenancy/src/artcafe_tenancy/unique_names.py",
    "services/tenancy/src/artcafe_tenancy/store.py",
    "services/tenancy/src/artcafe_tenancy/subject_table.py",
    "services/tenancy/src/artcafe_tenancy/channel_subscription_table.py",
}


def name_of(path):
    return str(path.relative_to(ROOT))


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_files(service):
    package = ROOT / f"services/{service}/src/artcafe_{service}"
    wanted = ["__init__.py", "__main__.py", "app.py", "settings.py", "py.typed"]
    if service in ON_THE_BUS:
        wanted += ["endpoints.py", "store.py", "tables.py"]
    assert [name for name in wanted if not (package / name).exists()] == []
    assert not (package / "utils.py").exists()


def test_source_files_stay_below_the_line_limit():
    long = {name_of(path) for path in SOURCES if len(path.read_text().splitlines()) > MAX_LINES}
    assert long == set()


def test_only_stores_import_store_clients():
    reach = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            else:
                continue
            if any(module.partition(".")[0] in STORES for module in modules):
                reach.add(name_of(path))
    assert reach - MAY_REACH_STORES == set()


def test_every_module_can_be_imported():
    """Also what no test needs, in a process that imported nothing else before."""
    modules = [path for path in SOURCES if path.name != "__main__.py"]
    inside = [path.relative_to(next(p for p in path.parents if p.name == "src")) for path in modules]
    names = sorted(".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in inside)
    assert len(names) > 100
    lines = "".join(f"import {name}\n" for name in names)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", lines], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_imports_have_no_side_effects():
    """No module makes a client, a connection, a task or a settings object when it is imported."""
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
                    found.append(f"{name_of(path)}:{call.lineno} {name}")
    assert found == []


# -- what each service's credentials allow ---------------------------------------------------------


class Visitor:
    """A connection with one file of credentials, and what the broker said to it."""

    def __init__(self, nc, errors):
        self.nc = nc
        self.errors = errors

    async def may_not(self, action, subject):
        self.errors.clear()
        if action == "publish":
            await self.nc.publish(subject, b"{}")
        else:
            await self.nc.subscribe(subject)
        await self.nc.flush()
        for _ in range(100):
            if any("permissions violation" in str(error).lower() for error in self.errors):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"was allowed to {action} {subject}")

    async def may(self, action, subject):
        self.errors.clear()
        await (self.nc.publish(subject, b"{}") if action == "publish" else self.nc.subscribe(subject))
        await self.nc.flush()
        await asyncio.sleep(0.02)
        assert self.errors == []


@pytest.fixture(scope="module")
async def installation(tmp_path_factory):
    """A broker as `artcafe bootstrap` configures it."""
    stack = Stack(tmp_path_factory.mktemp("house"), free_ports())
    opened = []
    try:
        stack.prepare()
        stack.start("nats")
        url = stack.environ()["NATS_URL"]

        async def visit(name):
            errors = []

            async def note(error):
                errors.append(error)

            credentials = RawCredentials((stack.directory / f"keys/{name}.creds").read_text())
            for attempt in range(100):
                try:
                    nc = await nats.connect(
                        url,
                        user_credentials=credentials,
                        allow_reconnect=False,
                        error_cb=note,
                        inbox_prefix=inbox_prefix(name.partition("-")[0]),
                    )
                    break
                except OSError:
                    assert attempt < 99
                    await asyncio.sleep(0.05)
            opened.append(nc)
            return Visitor(nc, errors)

        visit.url = url
        visit.keys = stack.directory / "keys"
        yield visit
    finally:
        for nc in opened:
            await nc.close()
        await stack.down()


def test_key_files_are_private(installation):
    for path in installation.keys.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("service", [*SERVICES, "admin"])
async def test_service_credentials_allow_only_its_own_subjects(installation, service):
    me = await installation(service)
    # Nothing of the broker's own, and nothing of a tenant's.
    for subject in ("$SYS.>", "$SYS.ACCOUNT.*.CONNECT", ">", "tenant.>", "*.>", "_INBOX.>"):
        await me.may_not("subscribe", subject)
    for subject in ("$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.UPDATE", "tenant.x.y", "artcafe.ingest.A.b.c.d"):
        await me.may_not("publish", subject)
    for other in {*SERVICES, "admin"} - {service}:
        # Not another's replies, nor another's commands.
        await me.may_not("subscribe", f"{inbox_prefix(other)}.>")
        await me.may_not("subscribe", f"artcafe.{other}.>")
        if other not in called_services(service) and other in ON_THE_BUS:
            await me.may_not("publish", f"artcafe.{other}.some.command")
    # Events are announced by those whose facts they are.
    for what in {noun for each in SERVICES for noun in published_events(each)}:
        able = me.may if what in published_events(service) else me.may_not
        await able("publish", f"artcafe.events.{what}.happened")
    await me.may("subscribe", f"{inbox_prefix(service)}.>")
    if service != "admin":
        await me.may("subscribe", "artcafe.events.>")
    # Streams are another's to delete, and to read past one's own consumer.
    for subject in (
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.PURGE.EVENTS",
        "$JS.API.STREAM.MSG.GET.EVENTS",
        "$JS.API.CONSUMER.DELETE.EVENTS.tenancy",
    ):
        await me.may_not("publish", subject)


@pytest.mark.parametrize("service", ["identity", "presence", "metering"])
async def test_system_account_credentials_are_restricted(installation, service):
    me = await installation(f"{service}-system")
    for subject in ("$SYS.>", ">", "$SYS.REQ.USER.AUTH", "$SYS.SERVER.>"):
        await me.may_not("subscribe", subject)
    for subject in ("$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.SERVER.X.RELOAD", "$SYS.REQ.SERVER.PING.ACCOUNTZ"):
        await me.may_not("publish", subject)
    able = me.may if service == "identity" else me.may_not
    for subject in ("$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.SERVER.X.KICK"):
        await able("publish", subject)


async def test_callout_credentials_receive_only_the_callout(installation):
    me = await installation("identity-callout")
    await me.may("subscribe", "$SYS.REQ.USER.AUTH")
    await me.may_not("subscribe", ">")
    await me.may_not("publish", "anything")


async def test_connection_without_credentials_is_rejected(installation):
    await installation("gateway")  # the broker is there

    async def quiet(_error):
        return None

    async def try_with(**options):
        nc = nats.NATS()
        with pytest.raises((nats.errors.Error, TimeoutError)):
            await nc.connect(installation.url, allow_reconnect=False, error_cb=quiet, **options)
        nc._transport.close()

    await asyncio.gather(try_with(), try_with(user="a", password="b"), try_with(token="t"))
