"""Invalid and forbidden subjects and headers."""

from support.invalid_frames import Bystander, assert_frame_rejected

INVALID_SUBJECTS = (
    "",
    ".",
    "..",
    "a..b",
    ".a",
    "a.",
    " ",
    "a b",
    "a\tb",
    "a\r\nPUB x 1\r\n1",
    "a\n",
    "a\0b",
    "a\x7f",
    "a\x85b",
    "a\x9fb",
    "a\u00a0b",
    "a\u2028b",
    "a\u3000b",
    "x" * 256,
    "ü" * 128,
    "a." * 200 + "a",
    "a*",
    "*a.b",
    "a.b>",
    ">.a",
    "a.>.b",
)
FORBIDDEN_SUBJECTS = (
    "$SYS.>",
    "$SYS.REQ.USER.AUTH",
    "$JS.API.>",
    "$KV.x",
    "_INBOX.>",
    "_INBOX.*",
    "_INBOX",
    "_heartbeat.{tid}.{cid}",
    "_heartbeat.>",
    "_HEARTBEAT.tenant.{tid}.client.{cid}",
    "_PRESENCE.tenant.{tid}.client.{cid}",
    "_METRICS.tenant.{tid}.client.{cid}",
    "_anything",
    "tenant",
    "tenant.*.x",
    "tenant.>",
    "tenant.{other}.x",
    "{other}.x",
    "{other}",
    "agents.{other}.x",
    "channels.{other}.x",
)


async def test_invalid_and_forbidden_subjects_are_rejected(example, other_tenant):
    bystander = await Bystander.connect(example.tenant)
    client = await example.tenant.create_client()
    socket, nc = await client.connect_websocket(), await client.connect_nats()
    injected = []

    async def record(message):
        injected.append(message.subject)

    await nc.subscribe("evil.>", cb=record)
    await nc.flush()
    kinds = {"publish": {"data": 1}, "request": {"data": 1}, "subscribe": {}, "unsubscribe": {}}
    names = {"tid": example.tenant.id, "cid": client.id, "other": other_tenant.id}
    for number, (kind, rest) in enumerate(kinds.items()):
        for subject in INVALID_SUBJECTS:
            await assert_frame_rejected(
                socket, {"type": kind, "subject": subject, "id": number, **rest}, "bad_subject"
            )
            if kind != "request":
                await assert_frame_rejected(
                    socket, {"type": kind, "channel": subject, "id": number, **rest}, "channel_not_found"
                )
        for own in (example.tenant.id, f"tenant.{example.tenant.id}"):
            await assert_frame_rejected(
                socket, {"type": kind, "subject": own, "id": number, **rest}, "bad_subject"
            )
        for subject in FORBIDDEN_SUBJECTS:
            frame = {"type": kind, "subject": subject.format(**names), "id": number, **rest}
            has_wildcard = "*" in subject or ">" in subject
            expected = (
                "bad_subject" if has_wildcard and kind in ("publish", "request") else "forbidden_subject"
            )
            await assert_frame_rejected(socket, frame, expected)
        if kind in ("publish", "request"):
            for subject in ("*", ">", "a.*", "a.>", f"{example.tenant.id}.>"):
                await assert_frame_rejected(
                    socket, {"type": kind, "subject": subject, "id": number, **rest}, "bad_subject"
                )
        if kind != "request":
            both = {"type": kind, "subject": "a", "channel": "a", "id": number, **rest}
            await assert_frame_rejected(socket, both, "bad_frame")
            await assert_frame_rejected(socket, {"type": kind, "id": number, **rest}, "bad_frame")
            for channel in ("*", ">", "a.b"):
                await assert_frame_rejected(
                    socket, {"type": kind, "channel": channel, "id": number, **rest}, "channel_not_found"
                )
    # Without an id in the frame, the error has none.
    assert "id" not in await assert_frame_rejected(socket, {"type": "publish", "subject": "a b", "data": 1})
    # A line break cannot inject a second NATS command.
    await assert_frame_rejected(
        socket, {"type": "publish", "subject": "x 1\r\n1\r\nPUB evil.x 1\r\n1", "data": 1}, "bad_subject"
    )
    await socket.send(type="publish", subject="x", data="1\r\nPUB evil.x 1\r\n1\r\n", id="ok")
    await socket.receive("published", id="ok")
    # Non-ASCII and other punctuation are valid.
    for subject in ("größe", "日本.語", "😀", "x" * 255, "a-b_c/d:e#f", "(*)"[:1] + ")"):
        await socket.subscribe(subject=subject, id="s")
        await socket.send(type="publish", subject=subject, data=subject, id="p")
        await socket.receive("published", id="p")
        assert (await socket.receive("message"))["subject"] == subject
    await nc.flush()
    assert injected == []
    await bystander.assert_undisturbed()


async def test_invalid_headers_are_rejected(example):
    bystander = await Bystander.connect(example.tenant)
    socket = await (await example.tenant.create_client()).connect_websocket()
    for headers, code in (
        (5, "bad_frame"),
        ([], "bad_frame"),
        ({"a": 1}, "bad_frame"),
        ({"a": None}, "bad_frame"),
        ({"": "x"}, "bad_headers"),
        ({"a b": "x"}, "bad_headers"),
        ({"a:": "x"}, "bad_headers"),
        ({"a\r\nArtcafe-From": "x"}, "bad_headers"),
        ({"a": "x\r\nArtcafe-From: y"}, "bad_headers"),
        ({"a": "\0"}, "bad_headers"),
        ({"ü": "x"}, "bad_headers"),
        ({"Nats-Rollup": "all"}, "bad_headers"),
        ({"ARTCAFE-From": "x"}, "bad_headers"),
        ({"a": "x" * 5000}, "bad_headers"),
        ({str(n): "x" for n in range(33)}, "bad_headers"),
    ):
        await assert_frame_rejected(
            socket, {"type": "publish", "subject": "a", "data": 1, "id": 1, "headers": headers}, code
        )
    await bystander.assert_undisturbed()
