"""Which subscriptions of a client receive a frame of the WebSocket.

A socket receives a message once however many of its subscriptions match, so the client finds the subscriptions.
"""

from collections.abc import Iterator

from artcafe_client.names import is_channel_id, matches, resolve
from artcafe_client.transports.link import Feed

MAX_CACHED_SUBJECTS = 10_000


class Group:
    """The subscriptions that share one subscription of the socket, which names a subject, a queue group or a channel."""

    __slots__ = ("channel", "channel_id", "feeds", "is_ahead", "pattern", "prefixes", "queue", "waiting")

    def __init__(self, tenant_id: str, feed: Feed) -> None:
        self.queue = feed.queue
        self.feeds: list[Feed] = []
        # Of these, the ones whose place in the channel the server has not confirmed: they receive nothing yet.
        self.waiting: set[Feed] = set()
        # Whether the socket's one place in the channel is later than that of a subscription: until it is moved back, none
        # receives.
        self.is_ahead = False
        self.channel = feed.target.text if feed.target.is_channel else None
        self.channel_id = self.channel
        self.pattern = "" if self.channel else resolve(tenant_id, feed.target.text, wildcards=True).bare

    def fields(self) -> dict[str, str]:
        """What names it in a frame."""
        named = {"channel": self.channel} if self.channel else {"subject": self.pattern}
        return {**named, **({"queue": self.queue} if self.queue else {})}

    @property
    def receivers(self) -> list[Feed]:
        """The subscriptions that receive what arrives."""
        return [] if self.is_ahead else [feed for feed in self.feeds if feed not in self.waiting]

    @property
    def earliest_seq(self) -> int | None:
        """The earliest `seq` that a subscription has not received; None if none has a place."""
        starts = [feed.start for feed in self.feeds]
        places = [start.since for start in starts if start is not None and isinstance(start.since, int)]
        return min(places, default=None)


class Groups:
    """The groups of a socket."""

    def __init__(self, tenant_id: str) -> None:
        self._tenant_id = tenant_id
        self._groups: dict[tuple[str, str, str], Group] = {}
        self._cache: dict[tuple[str, str | None], tuple[Feed, ...]] = {}
        # Counts the messages of queue groups, which the subscriptions of this client take in turn.
        self._turn = 0

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def join(self, feed: Feed) -> tuple[Group, bool]:
        """The group of a subscription, and whether the socket has to subscribe."""
        group = Group(self._tenant_id, feed)
        key = self._key(group)
        known = self._groups.setdefault(key, group)
        known.feeds.append(feed)
        self._cache.clear()
        return known, known is group

    def leave(self, feed: Feed) -> Group | None:
        """The group, if the socket has to unsubscribe because this was its last subscription."""
        for key, group in self._groups.items():
            if feed in group.feeds:
                group.feeds.remove(feed)
                group.waiting.discard(feed)
                self._cache.clear()
                if not group.feeds:
                    del self._groups[key]
                    return group
                return None
        return None

    def confirm(self, group: Group, feed: Feed, channel_id: str | None, seq: int | None) -> bool:
        """Note that the server has confirmed a subscription, and the id of a channel that was named by its name.

        Returns whether the socket's place in the channel has to be moved back to `group.earliest_seq`, so that no other
        subscription misses anything.
        """
        group.channel_id = channel_id or group.channel_id
        group.waiting.discard(feed)
        earliest = group.earliest_seq
        group.is_ahead = seq is not None and earliest is not None and earliest <= seq
        self._cache.clear()
        return group.is_ahead

    def of_channel(self, channel: str) -> list[Feed]:
        """The subscriptions of a channel that receive what arrives."""
        return [
            feed for group in self for feed in group.receivers if channel in (group.channel_id, group.channel)
        ]

    def matching(self, subject: str, channel: str | None, queue: str | None) -> tuple[Feed, ...]:
        """The subscriptions that receive a message; of a queue group, one of them."""
        key = (subject, queue)
        feeds = self._cache.get(key)
        if feeds is None:
            if len(self._cache) >= MAX_CACHED_SUBJECTS:
                self._cache.clear()
            feeds = self._cache[key] = tuple(self._find(subject, channel, queue))
        if queue is None or len(feeds) < 2:  # noqa: PLR2004 - there is a choice
            return feeds
        self._turn += 1
        return (feeds[self._turn % len(feeds)],)

    def _find(self, subject: str, channel: str | None, queue: str | None) -> Iterator[Feed]:
        by_id = channel is not None and any(group.channel_id == channel for group in self)
        for group in self:
            if group.queue != queue:
                continue
            if group.channel is None:
                hit = matches(group.pattern, subject)
            else:
                # A channel that was subscribed by its name, whose id is not known yet.
                hit = group.channel_id == channel or (not by_id and not is_channel_id(group.channel_id or ""))
            if hit:
                yield from group.receivers

    def _key(self, group: Group) -> tuple[str, str, str]:
        return ("channel" if group.channel else "subject", group.channel or group.pattern, group.queue or "")
