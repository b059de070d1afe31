"""Disables the counting in a gateway that starts with this directory in PYTHONPATH."""

import sys

if "artcafe_gateway" in sys.orig_argv:
    from artcafe_gateway.bridges.counters import ConnectionCounters
    from artcafe_gateway.subscriptions.subject_subscription import SubjectSubscription

    SubjectSubscription.on_delivered = lambda *_: None
    ConnectionCounters.record_publish = lambda *_: None
