"""Recorders of what the gateway reports to other services."""

from collections import Counter, defaultdict


class FakeUsage:
    """As `UsageRecorder`: sums of deliveries and connection time."""

    def __init__(self):
        # By client and channel: [messages, bytes].
        self.deliveries = defaultdict(lambda: [0, 0])
        self.connection_seconds = Counter()
        self.refusals = Counter()

    def record_delivery(self, _tenant_id, client_id, channel_id, size, messages=1):
        counts = self.deliveries[client_id, channel_id]
        counts[0] += messages
        counts[1] += size

    def record_refusal(self, tenant_id, code):
        self.refusals[tenant_id, code] += 1

    def record_connection_time(self, tenant_id, client_id, seconds):
        self.connection_seconds[tenant_id, client_id] += seconds


class FakeChannelSubscribers:
    """As `ChannelSubscriberTracker`: the current subscribers of each channel."""

    def __init__(self):
        self.current = Counter()
        self.added = []

    def add(self, _tenant_id, client_id, channel_id):
        self.added.append((client_id, channel_id))
        self.current[client_id, channel_id] += 1

    def remove(self, _tenant_id, client_id, channel_id):
        self.current[client_id, channel_id] -= 1
        if not self.current[client_id, channel_id]:
            del self.current[client_id, channel_id]


class FakePresence:
    """As `PresenceReporter`: the queued events."""

    def __init__(self, instance="this"):
        self.instance = instance
        self.events = []

    def enqueue(self, event):
        self.events.append(event)
