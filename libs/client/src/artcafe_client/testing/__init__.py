"""A server in memory, for the tests of programs that use this package.

```python
async def test_orders_are_counted():
    server = artcafe_client.testing.MemoryServer()
    async with server.connect("counter") as client, server.connect("shop") as shop:
        ...
```
"""

from artcafe_client.testing.server import MemoryServer

__all__ = ["MemoryServer"]
