"""`artcafe login` and `artcafe logout`, and the session file."""

import json
import time

from support.actors import PASSWORD, User
from support.cli import Terminal, assert_error_line, file_mode


async def test_a_wrong_password_is_refused_and_leaves_nothing(stack, tmp_path):
    person = await User.sign_up(stack)
    terminal = Terminal(tmp_path, ARTCAFE_API=stack.api)
    done = await terminal.run("login", person.email, ARTCAFE_PASSWORD="wrong")
    assert done.code == 3
    assert_error_line(done, "invalid_credentials")
    assert not terminal.session_file.exists()
    assert (await terminal.run("clients", "list")).code == 3


async def test_a_login_is_kept_for_its_owner_alone_and_forgotten(stack, tmp_path):
    person = await User.sign_up(stack)
    terminal = Terminal(tmp_path, ARTCAFE_API=stack.api)
    # Nobody is asked where nobody sits, and the password comes by standard input or the environment.
    assert (await terminal.run("login", person.email)).code == 2
    done = await terminal.run("login", person.email, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert done.code == 0, done.err
    assert PASSWORD not in done.out + done.err
    assert (file_mode(terminal.session_file), file_mode(terminal.session_file.parent)) == (0o600, 0o700)
    # The API is remembered.
    terminal.environ.pop("ARTCAFE_API")
    assert (await terminal.run_json("accounts", "list")) == {
        "accounts": [],
        "next_cursor": None,
        "current": None,
    }
    assert (await terminal.run("logout")).code == 0
    assert not terminal.session_file.exists()
    done = await terminal.run("accounts", "list")
    assert done.code == 2
    assert "ARTCAFE_API" in done.err


async def test_tokens_go_to_no_other_api(terminal):
    done = await terminal.run("clients", "list", "--api", "http://127.0.0.1:1")
    assert done.code == 3
    assert "artcafe login" in done.err


async def test_an_old_token_is_renewed(terminal):
    session = json.loads(terminal.session_file.read_text())
    terminal.session_file.write_text(json.dumps({**session, "expires_at": time.time() - 1}))
    await terminal.run_json("clients", "list")
    renewed = json.loads(terminal.session_file.read_text())
    assert renewed["expires_at"] > time.time()
    assert file_mode(terminal.session_file) == 0o600
    # One that the server does not take any more, too.
    terminal.session_file.write_text(json.dumps({**renewed, "access_token": "stale"}))
    await terminal.run_json("clients", "list")
    # And with nothing to renew it by, the way out is told.
    terminal.session_file.write_text(
        json.dumps({**renewed, "access_token": "stale", "refresh_token": "stale"})
    )
    done = await terminal.run("clients", "list")
    assert done.code == 3
    assert "artcafe login" in done.err
