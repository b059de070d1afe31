"""Run the presence service: `python -m artcafe_presence`."""

from artcafe_common.lifecycle import run
from artcafe_presence.app import app
from artcafe_presence.settings import Settings

if __name__ == "__main__":
    run("presence", Settings, app)
