"""Runs identity: `python -m artcafe_identity`."""

from artcafe_common.lifecycle import run
from artcafe_identity.app import app
from artcafe_identity.settings import Settings

run("identity", Settings, app)
