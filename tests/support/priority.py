"""The share of a busy machine that a process gets."""

import contextlib
import os
from pathlib import Path

LOWER, LOWEST = 5, 19


def lower_priority(niceness=LOWER):
    """Give this process, which leads a session, less of the processors than others have."""
    os.nice(niceness)
    # Linux shares them among sessions first, by this value. It is not writable everywhere.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(niceness), encoding="ascii")
