"""The client of ArtCafe PubSub: publish, subscribe, ask and answer, over NATS or WebSocket.

```python
async with artcafe_client.connect(seed=seed, client_id=client_id) as client:
    await client.publish("orders.new", {"n": 1})
    async for message in client.subscribe("orders.>"):
        print(message.subject, message.data)
```
"""

from artcafe_client.channel import Channel
from artcafe_client.client import Client
from artcafe_client.connecting import connect
from artcafe_client.errors import (
    AccessRevoked,
    ArtcafeError,
    ClientClosed,
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    Gap,
    NotConnected,
    NotSupported,
    OfflineBufferFull,
    ServerError,
    SlowSubscriber,
    UnknownError,
)
from artcafe_client.message import Ack, Message
from artcafe_client.offline import Offline
from artcafe_client.presence import Presence
from artcafe_client.receive_queue import Overflow
from artcafe_client.settings import Options
from artcafe_client.states import State
from artcafe_client.subscription import Subscription

__all__ = [
    "AccessRevoked",
    "Ack",
    "ArtcafeError",
    "Channel",
    "Client",
    "ClientClosed",
    "ConfigurationError",
    "ConnectionFailed",
    "ConnectionLost",
    "Gap",
    "Message",
    "NotConnected",
    "NotSupported",
    "Offline",
    "OfflineBufferFull",
    "Options",
    "Overflow",
    "Presence",
    "ServerError",
    "SlowSubscriber",
    "State",
    "Subscription",
    "UnknownError",
    "connect",
]
