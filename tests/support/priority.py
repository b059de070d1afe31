"""The share of a busy machine that a process gets."""

import contextlib
import os
from pathlib import Path

NICENESS = 5


def lower_priority():
    """Give this process, which leads a session, less of the processors than others have."""
    os.nice(NICENESS)
    # Linux shares them among sessions first, by this value. It is not writable everywhere.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS), encoding="ascii")
