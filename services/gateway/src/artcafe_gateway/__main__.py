"""Runs the gateway: `python -m artcafe_gateway`."""

import sys

from artcafe_common import logs
from artcafe_common.lifecycle import run
from artcafe_common.settings import SettingsError, load
from artcafe_gateway import workers
from artcafe_gateway.app import app
from artcafe_gateway.settings import Settings

try:
    settings = load(Settings)
except SettingsError as error:
    sys.exit(f"gateway: {error}")
if settings.worker_count > 1 and not workers.is_worker():
    logs.configure("gateway", settings.server_id, settings.log_level)
    sys.exit(workers.supervise(settings.worker_count))
run("gateway", Settings, app)
