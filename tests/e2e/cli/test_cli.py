"""The command line, run as its users run it: every command, its exit codes, its JSON, both transports."""

import asyncio
import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from websockets.asyncio.server import serve

from support.actors import PASSWORD, User
from support.cli import ARTCAFE, Terminal
from support.waiting import eventually

ROOT = Path(__file__).parents[3]
SNIPPETS = re.findall(
    r"<!-- test -->\n```sh\n(.*?)```", (ROOT / "docs/reference/cli.md").read_text(), re.DOTALL
)


@pytest.fixture
async def here(tenant, tmp_path):
    return await Terminal.signed_in(tenant, tmp_path / "here")


@pytest.fixture(scope="module")
async def sick(new_stack):
    """A stack of its own, to be made ill."""
    async with new_stack() as running:
        yield running


def one_line(done, code):
    """The error of a command: one line, with the API's code and the request's id."""
    assert done.out == ""
    assert re.fullmatch(rf"artcafe: .+ \({code}, request \w+\)\n", done.err), done.err
    return True


def speaking_as(agent):
    """What a program of this client has in its environment."""
    return {"ARTCAFE_SEED": agent.seed, "ARTCAFE_NATS_URL": agent.connection["nats_url"]}


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# -- signing in ----------------------------------------------------------------------------------


async def test_a_wrong_password_is_refused_and_leaves_nothing(stack, tmp_path):
    person = await User.sign_up(stack)
    here = Terminal(tmp_path, ARTCAFE_API=stack.api)
    done = await here.run("login", person.email, ARTCAFE_PASSWORD="wrong")
    assert done.code == 3
    assert one_line(done, "invalid_credentials")
    assert not here.session_file.exists()
    assert (await here.run("clients", "list")).code == 3


async def test_a_login_is_kept_for_its_owner_alone_and_forgotten(stack, tmp_path):
    person = await User.sign_up(stack)
    here = Terminal(tmp_path, ARTCAFE_API=stack.api)
    # Nobody is asked where nobody sits, and the password comes by standard input or the environment.
    assert (await here.run("login", person.email)).code == 2
    done = await here.run("login", person.email, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert done.code == 0, done.err
    assert PASSWORD not in done.out + done.err
    assert (mode(here.session_file), mode(here.session_file.parent)) == (0o600, 0o700)
    # The API is remembered.
    here.environ.pop("ARTCAFE_API")
    assert (await here.run_json("accounts", "list")) == {"accounts": [], "next_cursor": None, "current": None}
    assert (await here.run("logout")).code == 0
    assert not here.session_file.exists()
    done = await here.run("accounts", "list")
    assert done.code == 2
    assert "ARTCAFE_API" in done.err


async def test_tokens_go_to_no_other_api(here):
    done = await here.run("clients", "list", "--api", "http://127.0.0.1:1")
    assert done.code == 3
    assert "artcafe login" in done.err


async def test_an_old_token_is_renewed(here):
    session = json.loads(here.session_file.read_text())
    here.session_file.write_text(json.dumps({**session, "expires_at": time.time() - 1}))
    await here.run_json("clients", "list")
    renewed = json.loads(here.session_file.read_text())
    assert renewed["expires_at"] > time.time()
    assert mode(here.session_file) == 0o600
    # One that the server does not take any more, too.
    here.session_file.write_text(json.dumps({**renewed, "access_token": "stale"}))
    await here.run_json("clients", "list")
    # And with nothing to renew it by, the way out is told.
    here.session_file.write_text(json.dumps({**renewed, "access_token": "stale", "refresh_token": "stale"}))
    done = await here.run("clients", "list")
    assert done.code == 3
    assert "artcafe login" in done.err


# -- accounts, clients, channels -----------------------------------------------------------------


async def test_accounts(stack, tmp_path, other_tenant):
    person = await User.sign_up(stack)
    here = Terminal(tmp_path, ARTCAFE_API=stack.api)
    await here.run("login", person.email, ARTCAFE_PASSWORD=PASSWORD)
    first = await here.run_json("accounts", "create", "First")
    second = await here.run_json("accounts", "create", "Second")
    listed = await here.run_json("accounts", "list")
    assert {each["name"] for each in listed["accounts"]} == {"First", "Second"}
    assert listed["current"] == first["account_id"]
    assert (await here.run("accounts", "use", second["account_id"])).code == 0
    assert (await here.run_json("accounts", "list"))["current"] == second["account_id"]
    shown = (await here.run("accounts", "list")).out.splitlines()
    assert [line.split()[:3] for line in shown if line.startswith("*")] == [
        ["*", second["account_id"], "Second"]
    ]
    # Another's answers as one that does not exist, and nothing changes.
    others = await here.run("accounts", "use", other_tenant.id)
    nobodys = await here.run("accounts", "use", "01JADAR0000000000000000000")
    assert (others.code, nobodys.code) == (3, 3)
    assert one_line(others, "forbidden")
    assert one_line(nobodys, "forbidden")
    assert (await here.run_json("accounts", "list"))["current"] == second["account_id"]
    # For one command.
    await here.run_json("clients", "create", "in the first", "--account", first["account_id"])
    assert (await here.run_json("clients", "list"))["clients"] == []


async def test_clients(here, tenant):
    made = await here.run_json("clients", "create", "bot")
    assert made["nkey_seed"].startswith("SU")
    shown = await here.run("clients", "create", "other")
    assert len(re.findall(r"\bSU[A-Z2-7]{56}\b", shown.out)) == 1
    names = [each["name"] for each in (await here.run_json("clients", "list"))["clients"]]
    assert sorted(names) == ["bot", "other"]
    assert len((await here.run_json("clients", "list", "--limit", "1"))["clients"]) == 1
    client_id = made["client"]["client_id"]
    again = await here.run_json("clients", "regenerate", client_id)
    assert again["nkey_seed"] != made["nkey_seed"]
    status = await here.run_json("status", client_id)
    assert (status["client_id"], status["status"]) == (client_id, "offline")
    assert (await here.run_json("clients", "delete", client_id))["client_id"] == client_id
    for gone in (
        ["status", client_id],
        ["clients", "delete", client_id],
        ["clients", "regenerate", client_id],
    ):
        done = await here.run(*gone)
        assert done.code == 4
        assert one_line(done, "client_not_found")
    taken = await here.run("clients", "create", "other")
    assert taken.code == 1
    assert one_line(taken, "name_taken")
    bad = await here.run("clients", "create", "greedy", "--publish", "tenant.01JADAR0000000000000000000.x")
    assert bad.code == 1
    assert one_line(bad, "invalid_permission")
    # An id is a part of a path, whatever it holds.
    assert (await here.run("clients", "delete", "../channels")).code == 4


async def test_a_seed_file_is_its_owners_alone_and_never_overwritten(here):
    path = here.directory / "bot.seed"
    made = await here.run_json("clients", "create", "bot", "--seed-file", path)
    assert "nkey_seed" not in made
    first = path.read_text()
    assert first.startswith("SU")
    assert mode(path) == 0o600
    # Before a client is made, not after.
    refused = await here.run("clients", "create", "second", "--seed-file", path)
    assert refused.code == 1
    assert (await here.run("clients", "create", "second", "--seed-file", "no/such/place")).code == 1
    assert [each["name"] for each in (await here.run_json("clients", "list"))["clients"]] == ["bot"]
    assert path.read_text() == first
    # A refusal leaves no file.
    other = here.directory / "other.seed"
    assert (await here.run("clients", "create", "bot", "--seed-file", other)).code == 1
    assert sorted(each.name for each in here.directory.glob("*.seed*")) == ["bot.seed"]
    # A new key takes the old one's place.
    await here.run_json("clients", "regenerate", made["client"]["client_id"], "--seed-file", path)
    assert path.read_text() != first
    assert mode(path) == 0o600
    assert (await here.run("pub", "x", "1", "--seed-file", path)).code == 0


async def test_channels(here):
    made = await here.run_json("channels", "create", "news")
    assert made["subject"].endswith(made["channel_id"])
    assert [each["name"] for each in (await here.run_json("channels", "list"))["channels"]] == ["news"]
    assert (await here.run("channels", "delete", made["channel_id"])).code == 0
    done = await here.run("channels", "delete", made["channel_id"])
    assert done.code == 4
    assert one_line(done, "channel_not_found")


async def test_another_tenants_ids_are_as_none(here, other_tenant):
    theirs = await other_tenant.create_client()
    done = await here.run("clients", "delete", theirs.id)
    assert done.code == 4
    assert one_line(done, "client_not_found")
    done = await here.run("clients", "list", "--account", other_tenant.id)
    assert done.code == 3
    assert one_line(done, "forbidden")


async def test_names_cannot_steer_the_terminal(here, tenant):
    await tenant.call("PUT", f"/accounts/{tenant.id}", 200, json={"description": "x"})
    agent = await tenant.create_client()
    listening = await (await here.start("sub", "evil", "--count", "1", **speaking_as(agent))).wait_for_stderr(
        "listening"
    )
    socket = await agent.connect_websocket()
    await socket.send(type="publish", subject="evil", data="\x1b]0;owned\x07\nsecond line")
    done = await listening.wait()
    assert done.code == 0
    assert "\x1b" not in done.out
    assert done.out.count("\n") == 1


# -- messages ------------------------------------------------------------------------------------


async def test_both_transports_meet(here):
    seed = here.directory / "bot.seed"
    await here.run_json("clients", "create", "bot", "--seed-file", seed)
    listeners = [
        await here.start("sub", "hello.>", "--count", "4", "--seed-file", seed, "--json", *how)
        for how in ([], ["--nats"])
    ]
    for each in listeners:
        await each.wait_for_stderr("listening on hello.>")
    sent = [("hello.a", '{"n": 1,\n"m": [null]}', []), ("hello.b", "just text", ["--nats"])]
    for subject, data, how in sent:
        done = await here.run_json("pub", subject, data, "--seed-file", seed, *how)
        assert done["published"] == 1
    done = await here.run("pub", "hello.c", "--seed-file", seed, stdin='{"from": "stdin"}\n')
    assert done.code == 0, done.err
    assert (await here.run("pub", "hello.d", "7", "--text", "--seed-file", seed, "--nats")).code == 0
    for each in listeners:
        done = await each.wait()
        assert done.code == 0, done.err
        assert sorted((m["subject"], json.dumps(m["data"])) for m in done.lines) == [
            ("hello.a", '{"n": 1, "m": [null]}'),
            ("hello.b", '"just text"'),
            ("hello.c", '{"from": "stdin"}'),
            ("hello.d", '"7"'),
        ]
        assert all("timestamp" in message for message in done.lines)
        senders = {message["subject"]: message.get("from") for message in done.lines}
        assert senders["hello.a"]
        assert senders["hello.b"] is None


async def test_a_channel_with_what_it_kept(here):
    seed = here.directory / "bot.seed"
    await here.run_json("clients", "create", "bot", "--seed-file", seed)
    channel = (await here.run_json("channels", "create", "news"))["channel_id"]

    async def pub(data, *how):
        done = await here.run("pub", channel, data, "--channel", "--seed-file", seed, *how)
        assert done.code == 0, done.err

    for number in (1, 2, 3):
        await pub(number)
    for how in ([], ["--nats"]):
        words = ("sub", channel, "--channel", "--last", "2", "--count", "3", "--seed-file", seed, "--json")
        listening = await (await here.start(*words, *how)).wait_for_stderr("listening")
        # The history is read by now, or the message is in it and told once.
        await asyncio.sleep(1)
        await pub("live", *how)
        done = await listening.wait()
        assert done.code == 0, done.err
        assert [message["channel"] for message in done.lines] == [channel] * 3
        assert done.lines[-1]["data"] == "live"
        assert len({json.dumps(message["data"]) + message["timestamp"] for message in done.lines}) == 3
    assert (await here.run("sub", "news", "--last", "2", "--seed-file", seed)).code == 2


async def test_nothing_is_missed_while_the_connection_is_broken(sick, tmp_path):
    tenant = await (await User.sign_up(sick)).create_organization()
    here = await Terminal.signed_in(tenant, tmp_path)
    me = speaking_as(await tenant.create_client())
    channel = (await tenant.create_channel("kept"))["channel_id"]
    words = ("sub", channel, "--channel", "--last", "0", "--count", "2", "--json")
    listening = await (await here.start(*words, **me)).wait_for_stderr("listening")
    assert (await here.run("pub", channel, "1", "--channel", **me)).code == 0
    await sick.supervisor.stop("gateway")
    await listening.wait_for_stderr("again in")
    assert (await here.run("pub", channel, "2", "--channel", "--nats", **me)).code == 0
    sick.start("gateway")
    done = await listening.wait()
    assert done.code == 0, done.err
    assert [message["data"] for message in done.lines] == [1, 2]


async def test_many_times(here, tenant):
    agent = await tenant.create_client()
    socket = await agent.connect_websocket()
    await socket.subscribe(subject="burst")
    for how in ([], ["--nats"]):
        done = await here.run("pub", "burst", "1", "--count", "25", *how, **speaking_as(agent))
        assert done.code == 0, done.err
        for _ in range(25):
            await socket.receive("message")


async def test_what_is_not_allowed_is_refused(here, tenant):
    narrow = await tenant.create_client(permissions={"publish": ["in.>"], "subscribe": ["out.>"]})
    me = speaking_as(narrow)
    for how in ([], ["--nats"]):
        for words in (["pub", "out.x", "1"], ["sub", "in.x", "--timeout", "20"]):
            done = await here.run(*words, *how, **me)
            assert done.code == 3, (words, how, done.err)
            assert "forbidden_subject" in done.err
        done = await here.run("pub", "a..b", "1", *how, **me)
        assert done.code == 1
        assert "bad_subject" in done.err


async def test_a_key_that_will_not_do(here, tenant):
    agent = await tenant.create_client()
    gone = await tenant.create_client()
    await tenant.call("DELETE", f"/clients/{gone.id}", 200)
    for how in (["--client", agent.id], ["--nats"]):
        done = await here.run("pub", "x", "1", *how, **speaking_as(gone))
        assert done.code == 3, done.err
        assert "authentication_failed" in done.err
        assert gone.seed not in done.err
    assert (await here.run("pub", "x", "1", **speaking_as(gone))).code == 4
    assert (await here.run("pub", "x", "1", ARTCAFE_SEED="SUNONSENSE")).code == 2
    assert (await here.run("pub", "x", "1")).code == 2
    # A seed is no argument of any command.
    assert (await here.run("pub", "x", "1", "--seed", agent.seed)).code == 2


async def test_without_signing_in(tenant, tmp_path):
    agent = await tenant.create_client()
    there = Terminal(tmp_path, **speaking_as(agent))
    websocket = {"ARTCAFE_API": tenant.stack.api, "ARTCAFE_CLIENT": agent.id}
    direct = {"ARTCAFE_NATS_URL": agent.connection["nats_url"], "ARTCAFE_TENANT": tenant.id}
    assert (await there.run("pub", "x", "1", **websocket)).code == 0
    assert (await there.run("pub", "x", "1", "--nats", **direct)).code == 0
    assert (await there.run("pub", "x", "1", "--nats")).code == 2


async def test_time_and_ctrl_c_end_it(here, tenant):
    agent = await tenant.create_client()
    me = speaking_as(agent)
    for how in ([], ["--nats"]):
        assert (await here.run("sub", "quiet", "--timeout", "1", *how, **me)).code == 0
        done = await here.run("sub", "quiet", "--timeout", "1", "--count", "1", *how, **me)
        assert done.code == 1
        assert "0 of 1" in done.err
        running = await (await here.start("sub", "quiet", *how, **me)).wait_for_stderr("listening")
        running.interrupt()
        done = await running.wait()
        assert (done.code, done.out) == (130, "")


async def test_a_reader_that_leaves_ends_it(here, tenant):
    agent = await tenant.create_client()
    for how in ([], ["--nats"]):
        listening = await (
            await here.start("sub", "x", "--json", *how, **speaking_as(agent))
        ).wait_for_stderr("listening")
        listening.process._transport.get_pipe_transport(1).close()
        socket = await agent.connect_websocket()
        for number in range(3):
            await socket.send_and_receive("publish", "published", subject="x", data=number, id=number)
        async with asyncio.timeout(20):
            assert await listening.process.wait() == 0
        assert "Traceback" not in (await listening.process.stderr.read()).decode()


async def test_a_revoked_client_does_not_come_back(here, tenant):
    for how in ([], ["--nats"]):
        agent = await tenant.create_client()
        running = await (await here.start("sub", "x", *how, **speaking_as(agent))).wait_for_stderr(
            "listening"
        )
        await tenant.call("DELETE", f"/clients/{agent.id}", 200)
        assert (await running.wait()).code == 3


async def test_nobody_there(here, tenant):
    agent = await tenant.create_client()
    me = speaking_as(agent)
    done = await here.run("status", "--api", "http://127.0.0.1:1")
    assert done.code == 5
    assert done.err.count("\n") == 1
    assert (await here.run("pub", "x", "1", "--ws", "ws://127.0.0.1:1", **me)).code == 5
    assert (await here.run("sub", "x", "--ws", "ws://127.0.0.1:1", **me)).code == 5
    assert (await here.run("pub", "x", "1", "--nats", "--nats-url", "nats://127.0.0.1:1", **me)).code == 5


async def test_a_server_that_is_busy_is_asked_again_when_it_says(here, tenant):
    agent = await tenant.create_client()
    visits = []

    async def busy_at_first(ws):
        visits.append(asyncio.get_running_loop().time())
        if len(visits) == 1:
            await ws.send(
                json.dumps({"type": "error", "code": "server_busy", "message": "x", "retry_after_ms": 2500})
            )
            await ws.close(1013, "server_busy")
            return
        await ws.send(json.dumps({"type": "challenge", "nonce": "n"}))
        assert json.loads(await ws.recv())["type"] == "auth"
        await ws.send(json.dumps({"type": "welcome", "heartbeat_interval_s": 30}))
        asked = json.loads(await ws.recv())
        await ws.send(json.dumps({"type": "subscribed", "id": asked["id"]}))
        await ws.send(
            json.dumps({"type": "message", "subject": "x", "data": 1, "timestamp": "2026-01-01T00:00:00Z"})
        )
        await ws.wait_closed()

    async with serve(busy_at_first, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        done = await here.run("sub", "x", "--count", "1", "--json", "--ws", url, **speaking_as(agent))
    assert done.code == 0, done.err
    assert "again in 2.5 s" in done.err
    assert [message["data"] for message in done.lines] == [1]
    assert visits[1] - visits[0] >= 2.5


@pytest.mark.parametrize("how", [[], ["--nats"]], ids=["websocket", "nats"])
async def test_a_broken_connection_is_made_again(sick, tmp_path, how):
    tenant = await (await User.sign_up(sick)).create_organization()
    here = await Terminal.signed_in(tenant, tmp_path)
    agent = await tenant.create_client()
    me = speaking_as(agent)
    listening = await here.start("sub", "x", "--count", "1", "--json", *how, **me)
    await listening.wait_for_stderr("listening")
    listening.stderr_text = ""
    sick.supervisor.kill("nats" if how else "gateway")
    await listening.wait_for_stderr("again in")
    await listening.wait_for_stderr("listening")

    async def sent():
        return (await here.run("pub", "x", "back", **me)).code == 0

    await eventually(sent, within=30)
    done = await listening.wait()
    assert done.code == 0, done.err
    assert done.lines[0]["data"] == "back"


# -- what is and was -----------------------------------------------------------------------------


async def test_status_usage_activity(here, tenant):
    agent = await tenant.create_client()
    await here.run("pub", "x", "1", "--count", "3", **speaking_as(agent))
    health = await here.run_json("status")
    assert health["status"] == "ok"
    assert len(health["services"]) == 5

    async def counted():
        usage = await here.run_json("usage", "--days", "2")
        assert len(usage["daily"]) == 2
        return usage["totals"]["messages"] == usage["current"]["messages"]["used"] == 3

    await eventually(counted, within=15)
    listed = await here.run_json("activity", "--type", "client")
    assert [each["action"] for each in listed["logs"]] == ["client.created"]
    for words in (["status"], ["status", agent.id], ["usage"], ["activity"], ["channels", "list"]):
        done = await here.run(*words)
        assert done.code == 0, done.err
        assert done.out
    assert (await here.run("activity", "--hours", "0")).code == 2
    assert (await here.run("activity", "--type", "nonsense")).code == 1


# -- shells, and the document ----------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion(tmp_path, shell):
    here = Terminal(tmp_path)
    done = await here.run("completion", shell)
    assert done.code == 0
    assert "_ARTCAFE_COMPLETE" in done.out
    if shell == "bash":
        script = f'{done.out}\nCOMP_WORDS=(artcafe clients re); COMP_CWORD=2; _artcafe_completion artcafe; echo "${{COMPREPLY[@]}}"'
        path = f"{Path(ARTCAFE).parent}{os.pathsep}{os.environ['PATH']}"
        told = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", script],
            env={**here.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert told.stdout.split() == ["regenerate"], told.stderr


def test_help_reads_little():
    """Help and completion are asked for all the time; what the commands need comes when they run."""
    heavy = ("httpx", "websockets", "nats", "aiobotocore", "botocore", "redis", "structlog", "rich")
    code = f"import sys, artcafe_common.cli.__main__; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"


async def test_the_document_is_true(stack, tmp_path):
    (tmp_path / ".dev").symlink_to(stack.directory)
    here = Terminal(tmp_path)
    assert SNIPPETS
    path = f"{Path(ARTCAFE).parent}{os.pathsep}{os.environ['PATH']}"
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", "\n".join(SNIPPETS)],
        cwd=tmp_path,
        env={**here.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hello from a shell" in done.stdout
