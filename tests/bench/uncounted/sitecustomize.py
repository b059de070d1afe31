"""Takes the counting out of a gateway that is started with this folder on its path."""

import sys

if "artcafe_gateway" in sys.orig_argv:
    from artcafe_gateway.bridges.counters import Line
    from artcafe_gateway.subscriptions.socket_subscriptions import Subscription

    Subscription.took = lambda *_: None
    Line.count = lambda *_: None
