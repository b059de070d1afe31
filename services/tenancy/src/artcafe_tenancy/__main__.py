"""Runs tenancy: `python -m artcafe_tenancy`."""

from artcafe_common.lifecycle import run
from artcafe_tenancy.app import app
from artcafe_tenancy.settings import Settings

if __name__ == "__main__":
    run("tenancy", Settings, app)
