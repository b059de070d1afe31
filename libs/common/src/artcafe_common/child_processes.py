"""Child processes that never outlive their parent."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have Linux end this process when its parent dies in any way, even by SIGKILL (prctl(2)).

    For a child's `preexec_fn`; does nothing where there is no prctl.
    """
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
