"""The commands for accounts, clients, channels, status, usage and activity."""

import re

from support.actors import PASSWORD, User
from support.cli import Terminal, assert_error_line, client_environ, file_mode
from support.waiting import eventually


async def test_accounts(stack, tmp_path, other_tenant):
    person = await User.sign_up(stack)
    terminal = Terminal(tmp_path, ARTCAFE_API=stack.api)
    await terminal.run("login", person.email, ARTCAFE_PASSWORD=PASSWORD)
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
    # Another's answers as one that does not exist, and nothing changes.
    others = await terminal.run("accounts", "use", other_tenant.id)
    nobodys = await terminal.run("accounts", "use", "01JADAR0000000000000000000")
    assert (others.code, nobodys.code) == (3, 3)
    assert_error_line(others, "forbidden")
    assert_error_line(nobodys, "forbidden")
    assert (await terminal.run_json("accounts", "list"))["current"] == second["account_id"]
    # For one command.
    await terminal.run_json("clients", "create", "in the first", "--account", first["account_id"])
    assert (await terminal.run_json("clients", "list"))["clients"] == []


async def test_clients(terminal, tenant):
    made = await terminal.run_json("clients", "create", "bot")
    assert made["nkey_seed"].startswith("SU")
    shown = await terminal.run("clients", "create", "other")
    assert len(re.findall(r"\bSU[A-Z2-7]{56}\b", shown.out)) == 1
    names = [each["name"] for each in (await terminal.run_json("clients", "list"))["clients"]]
    assert sorted(names) == ["bot", "other"]
    assert len((await terminal.run_json("clients", "list", "--limit", "1"))["clients"]) == 1
    client_id = made["client"]["client_id"]
    again = await terminal.run_json("clients", "regenerate", client_id)
    assert again["nkey_seed"] != made["nkey_seed"]
    status = await terminal.run_json("status", client_id)
    assert (status["client_id"], status["status"]) == (client_id, "offline")
    assert (await terminal.run_json("clients", "delete", client_id))["client_id"] == client_id
    for gone in (
        ["status", client_id],
        ["clients", "delete", client_id],
        ["clients", "regenerate", client_id],
    ):
        done = await terminal.run(*gone)
        assert done.code == 4
        assert_error_line(done, "client_not_found")
    taken = await terminal.run("clients", "create", "other")
    assert taken.code == 1
    assert_error_line(taken, "name_taken")
    bad = await terminal.run(
        "clients", "create", "greedy", "--publish", "tenant.01JADAR0000000000000000000.x"
    )
    assert bad.code == 1
    assert_error_line(bad, "invalid_permission")
    # An id is a part of a path, whatever it holds.
    assert (await terminal.run("clients", "delete", "../channels")).code == 4


async def test_a_seed_file_is_its_owners_alone_and_never_overwritten(terminal):
    path = terminal.directory / "bot.seed"
    made = await terminal.run_json("clients", "create", "bot", "--seed-file", path)
    assert "nkey_seed" not in made
    first = path.read_text()
    assert first.startswith("SU")
    assert file_mode(path) == 0o600
    # Before a client is made, not after.
    refused = await terminal.run("clients", "create", "second", "--seed-file", path)
    assert refused.code == 1
    assert (await terminal.run("clients", "create", "second", "--seed-file", "no/such/place")).code == 1
    assert [each["name"] for each in (await terminal.run_json("clients", "list"))["clients"]] == ["bot"]
    assert path.read_text() == first
    # A refusal leaves no file.
    other = terminal.directory / "other.seed"
    assert (await terminal.run("clients", "create", "bot", "--seed-file", other)).code == 1
    assert sorted(each.name for each in terminal.directory.glob("*.seed*")) == ["bot.seed"]
    # A new key takes the old one's place.
    await terminal.run_json("clients", "regenerate", made["client"]["client_id"], "--seed-file", path)
    assert path.read_text() != first
    assert file_mode(path) == 0o600
    assert (await terminal.run("pub", "x", "1", "--seed-file", path)).code == 0


async def test_channels(terminal):
    made = await terminal.run_json("channels", "create", "news")
    assert made["subject"].endswith(made["channel_id"])
    assert [each["name"] for each in (await terminal.run_json("channels", "list"))["channels"]] == ["news"]
    assert (await terminal.run("channels", "delete", made["channel_id"])).code == 0
    done = await terminal.run("channels", "delete", made["channel_id"])
    assert done.code == 4
    assert_error_line(done, "channel_not_found")


async def test_another_tenants_ids_are_as_none(terminal, other_tenant):
    theirs = await other_tenant.create_client()
    done = await terminal.run("clients", "delete", theirs.id)
    assert done.code == 4
    assert_error_line(done, "client_not_found")
    done = await terminal.run("clients", "list", "--account", other_tenant.id)
    assert done.code == 3
    assert_error_line(done, "forbidden")


async def test_status_usage_activity(terminal, tenant):
    agent = await tenant.create_client()
    await terminal.run("pub", "x", "1", "--count", "3", **client_environ(agent))
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
    for words in (["status"], ["status", agent.id], ["usage"], ["activity"], ["channels", "list"]):
        done = await terminal.run(*words)
        assert done.code == 0, done.err
        assert done.out
    assert (await terminal.run("activity", "--hours", "0")).code == 2
    assert (await terminal.run("activity", "--type", "nonsense")).code == 1
