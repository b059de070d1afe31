"""The commands for accounts, clients, channels, status, usage and activity."""

import re

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
    for arguments in (["status"], ["status", client.id], ["usage"], ["activity"], ["channels", "list"]):
        result = await terminal.run(*arguments)
        assert result.code == 0, result.err
        assert result.out
    assert (await terminal.run("activity", "--hours", "0")).code == 2
    assert (await terminal.run("activity", "--type", "nonsense")).code == 1
