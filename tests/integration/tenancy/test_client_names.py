"""Unique client names and the plan's limit, under concurrent commands."""

import pytest

from artcafe_common.bus.errors import InvalidRequest
from artcafe_common.contracts.tenancy.accounts import (
    ChangePlan,
)
from artcafe_common.contracts.tenancy.clients import (
    ClientNotFound,
    CreateClient,
    DeleteClient,
    GetClient,
    UpdateClient,
)
from artcafe_common.contracts.tenancy.fields import NameTaken, PlanLimitReached
from artcafe_common.plans import Plan
from support.harness.tenancy import gather_outcomes
from support.waiting import eventually_equals


async def count_clients(actor):
    return len(await actor.list_clients())


async def test_concurrent_creation_respects_the_client_limit(tenancy):
    owner = await tenancy.owner()
    results, errors = await gather_outcomes(*(owner(CreateClient(name=f"robot {n}")) for n in range(20)))
    assert len(results) == 3
    assert set(errors) == {PlanLimitReached}
    await eventually_equals(lambda: count_clients(owner), 3)
    issued = len(tenancy.identity.keys)
    with pytest.raises(PlanLimitReached):
        await owner.create_client("one more")
    assert len(tenancy.identity.keys) == issued

    await owner(DeleteClient(client_id=results[0].client.client_id))
    again = await owner.create_client("one more")
    with pytest.raises(PlanLimitReached):
        await owner.create_client("and another")
    gone, missing = await gather_outcomes(*(owner(DeleteClient(client_id=again.client_id)) for _ in range(5)))
    assert len(gone) == 1
    assert set(missing) == {ClientNotFound}
    results, _ = await gather_outcomes(*(owner(CreateClient(name=f"robot {n}")) for n in range(30, 35)))
    assert len(results) == 1
    await tenancy.call_as_operator(ChangePlan(tenant_id=owner.tenant_id, plan=Plan.BASIC))
    await owner.create_client("now there is room")


async def test_concurrent_creation_with_one_name_creates_one_client(tenancy):
    owner, other = await tenancy.owner(Plan.BASIC), await tenancy.owner()
    results, errors = await gather_outcomes(
        *(owner(CreateClient(name="Robot" if n % 2 else "rOBOT")) for n in range(10))
    )
    assert len(results) == 1
    assert errors == [NameTaken] * 9
    issued = len(tenancy.identity.keys)
    with pytest.raises(NameTaken):
        await owner.create_client("ROBOT")
    assert len(tenancy.identity.keys) == issued
    await other.create_client("Robot")


async def test_rename_frees_the_old_name(tenancy):
    owner = await tenancy.owner(Plan.BASIC)
    caf, other = await owner.create_client("Caf\u00e9"), await owner.create_client("other")
    with pytest.raises(NameTaken):
        await owner(UpdateClient(client_id=other.client_id, name="CAFE\u0301"))
    assert (await owner(UpdateClient(client_id=caf.client_id, name="CAF\u00c9"))).name == "CAF\u00c9"
    await owner(UpdateClient(client_id=caf.client_id, name="bar"))
    await owner(UpdateClient(client_id=other.client_id, name="caf\u00e9"))
    await owner(DeleteClient(client_id=other.client_id))
    await owner.create_client("cafe\u0301")


async def test_names_stay_unique_under_concurrent_renames(tenancy):
    owner = await tenancy.owner(Plan.ENTERPRISE)
    ids = [(await owner.create_client(f"robot {n}")).client_id for n in range(4)]
    results, errors = await gather_outcomes(
        *(owner(UpdateClient(client_id=cid, name="the one")) for cid in ids)
    )
    assert (len(results), errors) == (1, [NameTaken] * 3)

    one = ids[0]
    results, errors = await gather_outcomes(
        *(owner(UpdateClient(client_id=one, name=f"new {n}")) for n in range(4))
    )
    assert (len(results), errors) == (4, [])
    last = (await owner(GetClient(client_id=one))).name
    for name in {f"new {n}" for n in range(4)} - {last}:
        await owner.create_client(name)
    with pytest.raises(NameTaken):
        await owner.create_client(last)

    for n in range(3):
        cid = (await owner.create_client(f"brief {n}")).client_id
        await gather_outcomes(
            owner(UpdateClient(client_id=cid, name=f"renamed {n}")), owner(DeleteClient(client_id=cid))
        )
        with pytest.raises(ClientNotFound):
            await owner(GetClient(client_id=cid))
        for name in (f"brief {n}", f"renamed {n}"):
            await owner.create_client(name)


async def test_names_that_look_alike_are_taken(tenancy):
    owner = await tenancy.owner(Plan.BASIC)
    robot = await owner.create_client("robot 1")
    for name in ("\uff32\uff4f\uff42\uff4f\uff54 1", "ROBOT\u00a01", "robot\u2003 1"):
        with pytest.raises(NameTaken):
            await owner.create_client(name)
    with pytest.raises(InvalidRequest):
        await owner.create_client("robot\u200b 1")
    wide = await owner.create_client("\ufb01le")
    with pytest.raises(NameTaken):
        await owner(UpdateClient(client_id=robot.client_id, name="FILE"))
    assert (
        await owner(UpdateClient(client_id=wide.client_id, name="\uff26\uff29\uff2c\uff25"))
    ).name == "\uff26\uff29\uff2c\uff25"
    await owner(DeleteClient(client_id=wide.client_id))
    await owner(UpdateClient(client_id=robot.client_id, name="file"))
    await owner.create_client("\uff52\uff4f\uff42\uff4f\uff54 1")
