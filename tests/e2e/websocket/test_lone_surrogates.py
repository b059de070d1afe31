"""A surrogate escape without its other half is one error, and the connection goes on."""

import pytest

LONE = (r"\ud83d", r"\udc00", r"a\ud83d\u0041")


@pytest.mark.parametrize("text", LONE)
async def test_frames_with_a_lone_surrogate_do_not_close_the_socket(tenant, text):
    publisher = await (await tenant.create_client()).connect_websocket()
    subscriber = await (await tenant.create_client()).connect_websocket()
    await subscriber.subscribe(subject="a")
    frames = (
        '{"type":"publish","id":%d,"subject":"a","data":"TEXT"}',
        '{"type":"publish","id":%d,"subject":"a","data":{"TEXT":1}}',
        '{"type":"request","id":%d,"subject":"TEXT","data":1}',
        '{"type":"publish","id":%d,"subject":"a","data":["TEXT"]}',
        '{"type":"subscribe","id":%d,"subject":"TEXT"}',
    )
    for number, frame in enumerate(frames):
        await publisher.ws.send((frame % number).replace("TEXT", text))
        error = await publisher.receive("error", id=number)
        assert error["code"] == "bad_frame"
        assert "surrogate" in error["message"]
    await publisher.ws.send(r'{"type":"publish","id":9,"subject":"a","data":"\ud83d\ude00"}')
    await publisher.receive("published", id=9)
    assert (await subscriber.receive("message"))["data"] == "\U0001f600"
    assert (publisher.pending("error"), subscriber.pending("message")) == ([], [])


@pytest.mark.parametrize("text", LONE)
async def test_rest_publish_with_a_lone_surrogate_is_rejected(tenant, text):
    channel = await tenant.create_channel()
    path = f"/channels/{channel['channel_id']}/messages"
    for body in (f'"{text}"', f'{{"data":"{text}"}}', f'{{"data":1,"headers":{{"a":"{text}"}}}}'):
        response = await tenant.http.post(path, content=body.encode())
        assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
        assert "surrogate" in response.json()["errors"][0]["message"]
    await tenant.call("POST", path, 202, json={"n": 1})
