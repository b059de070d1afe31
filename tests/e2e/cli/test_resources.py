"""The commands for accounts, clients, channels, status, usage and activity."""

import re

from artcafe_common import __version__
from support.actors import PASSWORD, User
from support.api_examples import UNKNOWN_ID
from support.cli import Terminal, assert_error_line, client_environ, file_mode
from support.waiting import eventually


async def test_accounts_are_created_listed_and_selected(stack, tmp_path, other_tenant):
    user = await User.sign_up(stack)
    terminal = Terminal(tmp_path, ARTCAFE_API=stack.api)
    await terminal.run("login", user.email, ARTCAFE_PASSWORD=PASSWORD)
    first = await terminal.run_json("accounts", "create", "First")
    second = await terminal.run_json("accounts", "create", "Second")
    listed = await terminal.run_json("accounts", "list")
    assert {each["name"] for each in listed["accounts"]} == {"First", "Second"}
    assert listed["current"] == first["account_id"]
    assert (await terminal.run("accounts", "use", second["account_id"])).code == 0
    assert (await terminal.run_json("accounts", "list"))["current"] == second["account_id"]
    shown = (await terminal.run("accounts", "list")).out.splitlines()
    assert [line.split()[:3] for line in shown if line.startswith("*")] == [
        ["*", second["account_id"], "Second"]
    ]
    # A foreign account gets the same error as an unknown one, and the selection does not change.
    foreign = await terminal.run("accounts", "use", other_tenant.id)
    unknown = await terminal.run("accounts", "use", UNKNOWN_ID)
    assert (foreign.code, unknown.code) == (3, 3)
    assert_error_line(foreign, "forbidden")
    assert_error_line(unknown, "forbidden")
    assert (await terminal.run_json("accounts", "list"))["current"] == second["account_id"]
    # --account selects an account for one command.
    await terminal.run_json("clients", "create", "in the first", "--account", first["account_id"])
    assert (await terminal.run_json("clients", "list"))["clients"] == []
    deleted = await terminal.run_json("accounts", "delete", first["account_id"])
    assert deleted["status"] == "deleted"
    restored = await terminal.run("accounts", "restore", first["account_id"])
    assert restored.out == f"restored {first['account_id']} First\n"


async def test_clients_are_created_listed_and_deleted(terminal, tenant):
    created = await terminal.run_json("clients", "create", "bot")
    assert created["nkey_seed"].startswith("SU")
    shown = await terminal.run("clients", "create", "other")
    assert len(re.findall(r"\bSU[A-Z2-7]{56}\b", shown.out)) == 1
    names = [each["name"] for each in (await terminal.run_json("clients", "list"))["clients"]]
    assert sorted(names) == ["bot", "other"]
    assert len((await terminal.run_json("clients", "list", "--limit", "1"))["clients"]) == 1
    client_id = created["client"]["client_id"]
    again = await terminal.run_json("clients", "regenerate", client_id)
    assert again["nkey_seed"] != created["nkey_seed"]
    status = await terminal.run_json("status", client_id)
    assert (status["client_id"], status["status"]) == (client_id, "offline")
    assert (await terminal.run_json("clients", "delete", client_id))["client_id"] == client_id
    for arguments in (
        ["status", client_id],
        ["clients", "delete", client_id],
        ["clients", "regenerate", client_id],
    ):
        result = await terminal.run(*arguments)
        assert result.code == 4
        assert_error_line(result, "client_not_found")
    taken = await terminal.run("clients", "create", "other")
    assert taken.code == 1
    assert_error_line(taken, "name_taken")
    bad = await terminal.run(
        "clients", "create", "greedy", "--publish", "tenant.01JADAR0000000000000000000.x"
    )
    assert bad.code == 1
    assert_error_line(bad, "invalid_permission")
    # An id is escaped in the URL.
    assert (await terminal.run("clients", "delete", "../channels")).code == 4


async def test_seed_file_is_private_and_not_overwritten(terminal):
    path = terminal.directory / "bot.seed"
    created = await terminal.run_json("clients", "create", "bot", "--seed-file", path)
    assert "nkey_seed" not in created
    first = path.read_text()
    assert first.startswith("SU")
    assert file_mode(path) == 0o600
    # The file is checked before the client is created.
    existing = await terminal.run("clients", "create", "second", "--seed-file", path)
    assert existing.code == 1
    assert (await terminal.run("clients", "create", "second", "--seed-file", "no/such/place")).code == 1
    assert [each["name"] for each in (await terminal.run_json("clients", "list"))["clients"]] == ["bot"]
    assert path.read_text() == first
    # A rejected request leaves no file.
    other = terminal.directory / "other.seed"
    assert (await terminal.run("clients", "create", "bot", "--seed-file", other)).code == 1
    assert sorted(each.name for each in terminal.directory.glob("*.seed*")) == ["bot.seed"]
    # A regenerated key replaces the old one.
    await terminal.run_json("clients", "regenerate", created["client"]["client_id"], "--seed-file", path)
    assert path.read_text() != first
    assert file_mode(path) == 0o600
    assert (await terminal.run("pub", "x", "1", "--seed-file", path)).code == 0


async def test_channels_are_created_listed_and_deleted(terminal):
    created = await terminal.run_json("channels", "create", "news")
    assert created["subject"].endswith(created["channel_id"])
    assert [each["name"] for each in (await terminal.run_json("channels", "list"))["channels"]] == ["news"]
    assert (await terminal.run("channels", "delete", created["channel_id"])).code == 0
    result = await terminal.run("channels", "delete", created["channel_id"])
    assert result.code == 4
    assert_error_line(result, "channel_not_found")


async def test_ids_of_another_organization_are_unknown(terminal, other_tenant):
    theirs = await other_tenant.create_client()
    result = await terminal.run("clients", "delete", theirs.id)
    assert result.code == 4
    assert_error_line(result, "client_not_found")
    result = await terminal.run("clients", "list", "--account", other_tenant.id)
    assert result.code == 3
    assert_error_line(result, "forbidden")


async def test_status_usage_and_activity_are_shown(terminal, tenant):
    client = await tenant.create_client()
    await terminal.run("pub", "x", "1", "--count", "3", **client_environ(client))
    health = await terminal.run_json("status")
    assert health["status"] == "ok"
    assert len(health["services"]) == 5

    async def counted():
        usage = await terminal.run_json("usage", "--days", "2")
        assert len(usage["daily"]) == 2
        return usage["totals"]["messages"] == usage["current"]["messages"]["used"] == 3

    await eventually(counted, within=15)
    listed = await terminal.run_json("activity", "--type", "client")
    assert [each["action"] for each in listed["logs"]] == ["client.created"]
    for arguments in (["status"], ["status", client.id], ["usage"], ["activity"], ["connections", "list"]):
        result = await terminal.run(*arguments)
        assert result.code == 0, result.err
        assert result.out
    assert (await terminal.run("activity", "--hours", "0")).code == 2
    assert (await terminal.run("activity", "--type", "nonsense")).code == 1


async def test_clients_are_suspended_and_resumed(terminal, tenant):
    client = await tenant.create_client()
    socket = await client.connect_websocket()
    assert (await terminal.run_json("clients", "suspend", client.id))["status"] == "suspended"
    assert await socket.wait_closed() == (4403, "suspended")
    resumed = await terminal.run("clients", "resume", client.id)
    assert resumed.out.rstrip().endswith("is offline")
    await client.connect_websocket()
    assert_error_line(await terminal.run("clients", "suspend", UNKNOWN_ID), "client_not_found")


async def test_agents_are_created_suspended_and_deleted(terminal, tmp_path):
    key = tmp_path / "agent.pem"
    created = await terminal.run_json("agents", "create", "reader", "--private-key-file", key)
    agent_id = created["agent"]["agent_id"]
    assert "PRIVATE KEY" in key.read_text()
    assert file_mode(key) == 0o600
    assert "private_key" not in created
    # An existing file is kept, and no agent is created.
    again = await terminal.run("agents", "create", "other", "--private-key-file", key)
    assert (again.code, "File exists" in again.err) == (1, True)
    assert [each["name"] for each in (await terminal.run_json("agents", "list"))["agents"]] == ["reader"]
    public = tmp_path / "agent.pub"
    public.write_text(created["agent"]["public_key"])
    other = await terminal.run_json("agents", "create", "other", "--public-key-file", public)
    assert other["agent"]["fingerprint"] == created["agent"]["fingerprint"]
    assert (await terminal.run("agents", "create", "third")).code == 2
    assert (await terminal.run_json("agents", "suspend", agent_id))["status"] == "suspended"
    assert (await terminal.run_json("agents", "list", "--status", "suspended"))["agents"][0][
        "agent_id"
    ] == agent_id
    assert (await terminal.run_json("agents", "resume", agent_id))["status"] == "offline"
    assert (await terminal.run_json("agents", "show", agent_id))["name"] == "reader"
    assert (await terminal.run_json("agents", "delete", agent_id))["agent_id"] == agent_id
    assert_error_line(await terminal.run("agents", "show", agent_id), "agent_not_found")


async def test_members_are_added_promoted_and_removed(stack, terminal, tenant):
    other = await User.sign_up(stack)
    user_id = (await other.http.get("/profile/me")).json()["user_id"]
    added = await terminal.run_json("members", "add", user_id, "--email", other.email)
    assert added["role"] == "member"
    assert (await terminal.run_json("members", "set-role", user_id, "admin"))["role"] == "admin"
    listed = await terminal.run_json("members", "list")
    assert {each["user_id"]: each["role"] for each in listed["members"]}[user_id] == "admin"
    assert (await terminal.run_json("members", "remove", user_id))["user_id"] == user_id
    assert_error_line(await terminal.run("members", "remove", user_id), "member_not_found")
    invalid = await terminal.run("members", "add", user_id, "--role", "king")
    assert invalid.code == 1


async def test_people_are_invited_and_accept(stack, terminal, tenant, tmp_path):
    other = await User.sign_up(stack)
    first = await terminal.run_json("invitations", "create", "nobody@example.com")
    created = await terminal.run_json("invitations", "create", other.email, "--role", "viewer")
    listed = await terminal.run_json("invitations", "list")
    assert {each["email"] for each in listed["invitations"]} == {other.email, "nobody@example.com"}
    assert (await terminal.run("invitations", "revoke", first["invitation_id"])).code == 0
    invited = Terminal(tmp_path / "invited", ARTCAFE_API=stack.api)
    await invited.run("login", other.email, ARTCAFE_PASSWORD=PASSWORD)
    (received,) = (await invited.run_json("invitations", "received"))["invitations"]
    assert received["invitation_id"] == created["invitation_id"]
    accepted = await invited.run_json("invitations", "accept", received["invitation_id"])
    assert (accepted["account_id"], accepted["role"]) == (tenant.id, "viewer")
    again = await invited.run("invitations", "decline", received["invitation_id"])
    assert_error_line(again, "invitation_not_found")


async def test_connections_are_inspected_and_channels_purged(terminal, tenant):
    client, channel = await tenant.create_client(), await tenant.create_channel()
    await (await client.connect_websocket()).subscribe(subject="orders.>")
    path = ("connections", "inspect", client.id)

    async def subscriptions():
        connections = (await terminal.run_json(*path))["connections"]
        return [each["subscriptions"] for each in connections]

    assert await eventually(subscriptions) == [["orders.>"]]
    shown = await terminal.run(*path)
    assert "orders.>" in shown.out
    purged = await terminal.run_json("channels", "purge", channel["channel_id"])
    assert purged["purged_at"]


async def test_subjects_and_history(terminal, tenant):
    created = await terminal.run_json("subjects", "create", "orders", "orders.>", "--max-messages", "100")
    subject_id = created["subject_id"]
    assert created["retention"]["max_messages"] == 100

    async def active():
        return (await terminal.run_json("subjects", "show", subject_id))["status"] == "active"

    await eventually(active, within=20)
    assert [each["name"] for each in (await terminal.run_json("subjects", "list"))["subjects"]] == ["orders"]
    nc = await (await tenant.create_client()).connect_nats()
    await nc.publish(f"{tenant.id}.orders.new", b'"a book"')

    async def stored():
        page = await terminal.run_json("subjects", "history", subject_id, "--last", "5")
        return [message["data"] for message in page["messages"]]

    assert await eventually(stored) == ["a book"]
    assert (await terminal.run_json("subjects", "delete", subject_id))["subject_id"] == subject_id

    channel = await terminal.run_json("channels", "create", "news")
    await tenant.call(
        "POST", f"/channels/{channel['channel_id']}/messages", 202, json={"data": "hello\x1b[2J"}
    )
    shown = await terminal.run("channels", "history", channel["channel_id"])
    assert "hello" in shown.out
    assert "\x1b" not in shown.out
    unknown = await terminal.run("channels", "history", UNKNOWN_ID)
    assert_error_line(unknown, "channel_not_found")


async def test_version(tmp_path):
    result = await Terminal(tmp_path).run("--version", ARTCAFE_REVISION="abc123")
    assert result.out == f"artcafe {__version__} (abc123)\n"
