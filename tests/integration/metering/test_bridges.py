"""Messages that a gateway's bridge published and did not report."""

from support.harness.metering import bridge_report, publish


async def test_unreported_messages_of_a_killed_gateway_are_counted(metering):
    org = await metering.create_organization()
    bridge = await metering.connect_user(org, org.platform_key)
    await publish(bridge, 100)
    await metering.wait_for_final_counts(org, messages=0)
    await metering.gateway.publish(bridge_report(org, bridge, 60, messages=60, bytes_in=600))
    await metering.wait_for_final_counts(org, messages=60)
    await bridge.close()
    await metering.wait_for_final_counts(org, messages=100, bytes_in=1000, deliveries=0)

    # A delayed report replaces the estimate.
    await metering.gateway.publish(bridge_report(org, bridge, 100, messages=40, bytes_in=400))
    await metering.wait_for_final_counts(org, messages=100, bytes_in=1000)


async def test_bridge_that_reported_everything_adds_nothing(metering):
    org = await metering.create_organization()
    bridge = await metering.connect_user(org, org.platform_key)
    await publish(bridge, 25)
    await metering.gateway.publish(bridge_report(org, bridge, 25, messages=25, bytes_in=250))
    await bridge.close()
    await metering.wait_for_counts(org, messages=25)
    await metering.wait_for_final_counts(org, messages=25, bytes_in=250, for_s=1.2)


async def test_unreported_bridge_that_closed_during_an_outage_is_counted(harness):
    org = await harness.create_organization()
    bridge = await harness.connect_user(org, org.platform_key)
    await publish(bridge, 8)
    await bridge.close()
    async with harness.running():
        await harness.wait_for_final_counts(org, messages=8)
    async with harness.running():
        await harness.wait_for_final_counts(org, messages=8)
