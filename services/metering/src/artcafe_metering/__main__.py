"""Run the metering service: `python -m artcafe_metering`."""

from artcafe_common.lifecycle import run
from artcafe_metering.app import app
from artcafe_metering.settings import Settings

if __name__ == "__main__":
    run("metering", Settings, app)
