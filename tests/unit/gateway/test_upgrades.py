"""A storm of handshakes leaves turns of the event loop to other connections."""

import asyncio

from artcafe_gateway.wire.upgrades import UpgradeQueue


async def test_handshakes_are_begun_in_order_and_one_in_each_turn():
    upgrades, begun, turns = UpgradeQueue(), [], []
    count = 5
    for number in range(count):
        upgrades.add(lambda number=number: begun.append(number))
    while len(begun) < count:
        before = len(begun)
        await asyncio.sleep(0)
        turns.append(len(begun) - before)
    assert begun == list(range(count))
    assert turns == [1] * count
    upgrades.add(lambda: begun.append("later"))
    await asyncio.sleep(0)
    assert begun[-1] == "later"


async def test_handshake_that_fails_costs_no_other():
    upgrades, begun = UpgradeQueue(), []
    upgrades.add(lambda: 1 / 0)
    upgrades.add(lambda: begun.append(1))
    for _ in range(3):
        await asyncio.sleep(0)
    assert begun == [1]
