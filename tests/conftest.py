"""The stack that the tests share, and a factory for stacks of their own."""

import pytest
import structlog
from hypothesis import HealthCheck, settings

from artcafe_common.dev.stack import Stack
from support.actors import User
from support.cleanup import close_all
from support.docker import has_image, missing_engine
from support.faulty_stack import FaultyStack
from support.stack import running_stack

# The number of examples is bounded; how long one takes depends on the load of the machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
LEFT_OUT = "`make test-containers` runs them, with a Docker engine"
GENERATORS_LEFT_OUT = "`make test-generators` runs them, with node, npm and Java"
# As the services log. By default, structlog draws tracebacks with all variables, which blocks the event loop for seconds.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_runtest_setup(item):
    """Skip the tests of containers and of generators, which take long, unless they are asked for."""
    if item.get_closest_marker("generators") and not item.config.getoption("--generators"):
        pytest.skip(GENERATORS_LEFT_OUT)
    if item.get_closest_marker("docker"):
        if not item.config.getoption("--containers"):
            pytest.skip(LEFT_OUT)
        if reason := missing_engine():
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter):
    """Say what was left out: skipped tests are easily overlooked."""
    reports = terminalreporter.stats.get("skipped", [])
    for kind, reason in (("containers", LEFT_OUT), ("generators", GENERATORS_LEFT_OUT)):
        left_out = sum(reason in str(report.longrepr) for report in reports)
        if left_out:
            terminalreporter.write_line(f"left out {left_out} tests of {kind}: {reason}")


def pytest_addoption(parser):
    parser.addoption("--generators", action="store_true", help="run the tests of generated clients")
    parser.addoption(
        "--containers",
        action="store_true",
        help="run nats, valkey and moto in containers, and the tests of containers",
    )
    parser.addoption(
        "--faults", action="store_true", help="run DynamoDB behind a proxy that lags, conflicts and throttles"
    )


@pytest.fixture(scope="session")
def stack_kind(request):
    """The stack that the tests run against: its servers are processes or, with `--containers`, containers.

    With `--faults`, the services see DynamoDB through a proxy that shows its faults.
    """
    if request.config.getoption("--faults"):
        return FaultyStack
    if not request.config.getoption("--containers"):
        return Stack
    if reason := missing_engine():
        pytest.skip(reason)
    from support.container_stack import IMAGES, ContainerStack  # noqa: PLC0415 - needs testcontainers

    if missing := [image for image in IMAGES.values() if not has_image(image)]:
        pytest.skip(f"needs the images {', '.join(missing)}")
    return ContainerStack


@pytest.fixture(scope="session")
def new_stack(tmp_path_factory, stack_kind):
    """Starts a separate stack: `async with new_stack(settings) as stack`."""

    def start(settings=None, *, servers=None):
        directory = tmp_path_factory.mktemp("stack")
        return running_stack(directory, settings, servers=servers, kind=stack_kind)

    return start


@pytest.fixture(scope="session")
async def stack(new_stack):
    """The shared stack, with everything running; each test creates its own organizations in it."""
    async with new_stack() as running:
        yield running


@pytest.fixture
async def tenant(stack):
    """A new organization."""
    return await (await User.sign_up(stack)).create_organization()


@pytest.fixture
async def other_tenant(stack):
    """A new organization of another user."""
    return await (await User.sign_up(stack)).create_organization("Other")


@pytest.fixture(autouse=True)
async def close_resources():
    """Closes what the test opened."""
    yield
    await close_all()
