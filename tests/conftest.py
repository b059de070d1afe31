"""The stack that the tests share, and a factory for stacks of their own."""

import pytest
from hypothesis import HealthCheck, settings

from support.actors import User
from support.cleanup import close_all
from support.stack import running_stack

# The number of examples is bounded; how long one takes depends on the load of the machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def new_stack(tmp_path_factory):
    """Starts a separate stack: `async with new_stack(settings) as stack`."""

    def start(settings=None, *, servers=None):
        return running_stack(tmp_path_factory.mktemp("stack"), settings, servers=servers)

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
