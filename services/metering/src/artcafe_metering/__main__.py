"""Runs metering: `python -m artcafe_metering`."""

from artcafe_common.lifecycle import run
from artcafe_metering.app import app
from artcafe_metering.settings import Settings

run("metering", Settings, app)
