"""The stock `openai` package from PyPI, unmodified, pointed at the gateway."""

import asyncio
import base64
import io
import threading

import openai
import pytest

from conftest import EDITS, OPENAI, routed
from upstream import Upstream, completed, partial, picture, png

BOAT, NIGHT = "[sim profile=fast] a boat", "[sim profile=fast] at night"
SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}


@pytest.fixture
def simulated(serve):
    return serve(SIMULATED, [routed(OPENAI, "darkroom"), routed(EDITS, "darkroom")])


def client(server, kind=openai.OpenAI, **options):
    return kind(base_url=f"{server.url}/v1", api_key="unused", **options)


def assert_stream(events, prefix, previews):
    assert [event.type for event in events] == [f"{prefix}.partial_image"] * previews + [f"{prefix}.completed"]
    assert [event.partial_image_index for event in events[:-1]] == list(range(previews))
    for event in events:
        assert base64.b64decode(event.b64_json, validate=True).startswith(b"\x89PNG")
        assert event.output_format == "png" and event.created_at > 0 and event.size and event.quality
    assert events[-1].usage.total_tokens >= 0


def test_generate_streams(simulated):
    events = list(
        client(simulated).images.generate(model="gpt-image-1", prompt=BOAT, stream=True, partial_images=2)
    )
    assert_stream(events, "image_generation", 2)


def test_edit_streams(simulated):
    upload = ("photo.png", io.BytesIO(png(32, 32)), "image/png")
    events = list(
        client(simulated).images.edit(
            model="gpt-image-1", image=upload, prompt=NIGHT, stream=True, partial_images=2
        )
    )
    assert_stream(events, "image_edit", 2)


def test_edit_of_several_pictures_with_mask(simulated):
    images = [(f"{n}.png", io.BytesIO(png(32, 32, n)), "image/png") for n in range(2)]
    answer = client(simulated).images.edit(
        model="gpt-image-1", image=images, mask=("mask.png", io.BytesIO(png(32, 32, 9)), "image/png"), prompt=NIGHT
    )
    assert answer.data[0].b64_json


def test_several_pictures_stream(simulated):
    stream = client(simulated).images.generate(model="gpt-image-1", prompt=BOAT, n=3, stream=True, partial_images=1)
    events = list(stream)
    finished = [event for event in events if event.type == "image_generation.completed"]
    assert sorted(event.image_index for event in finished) == [0, 1, 2] and events[-1] is finished[-1]
    assert len({event.b64_json for event in finished}) == 3
    previews = [event for event in events if event.type == "image_generation.partial_image"]
    assert previews and all(event.partial_image_index == 0 for event in previews)


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("form", [True, False], ids=["form", "json"])
def test_edits_reach_the_upstream_whole(serve, form, count, masked):
    """One file or several, with a mask or without, as a form or as JSON: the upstream gets the very bytes."""
    photos, mask, final = [png(16, 16, seed) for seed in range(count)], png(16, 16, 9), picture()
    with Upstream(lambda call: call.answer(200, {"created": 1, "data": [{"b64_json": final}]})) as upstream:
        server = serve({"real": upstream.config}, [routed(EDITS, "real")])
        if form:
            files = [(f"{number}.png", io.BytesIO(photo), "image/png") for number, photo in enumerate(photos)]
            extra = {"mask": ("mask.png", io.BytesIO(mask), "image/png")} if masked else {}
            answer = client(server).images.edit(
                model="gpt-image-1", image=files if count > 1 else files[0], prompt=NIGHT, n=1, **extra)
            assert answer.data[0].b64_json == final
        else:
            wish = {"model": "gpt-image-1", "prompt": NIGHT, "images": [{"image_url": data_url(photo)} for photo in photos]}
            answer = client(server).post(
                "/images/edits", body=wish | ({"mask": {"image_url": data_url(mask)}} if masked else {}), cast_to=object)
            assert answer["data"][0]["b64_json"] == final
        body = upstream.calls[0].body
    assert all(photo in body for photo in photos) and (mask in body) == masked
    assert body.count(b"filename=") == count + masked


def data_url(content):
    return "data:image/png;base64," + base64.b64encode(content).decode()


def test_whole_answer(simulated):
    answer = client(simulated).images.generate(model="gpt-image-1", prompt=BOAT, n=2)
    assert len(answer.data) == 2 and answer.created > 0
    assert all(base64.b64decode(image.b64_json).startswith(b"\x89PNG") for image in answer.data)
    assert answer.usage.total_tokens >= 0


def test_async_client(simulated):
    async def run():
        async with client(simulated, openai.AsyncOpenAI) as asynchronous:
            stream = await asynchronous.images.generate(
                model="gpt-image-1", prompt=BOAT, stream=True, partial_images=2
            )
            events = [event async for event in stream]
            upload = ("photo.png", io.BytesIO(png(32, 32)), "image/png")
            edited = await asynchronous.images.edit(model="gpt-image-1", image=upload, prompt=NIGHT)
            return events, edited

    events, edited = asyncio.run(run())
    assert_stream(events, "image_generation", 2)
    assert edited.data[0].b64_json


@pytest.mark.parametrize("stream", [False, True])
def test_bad_value_is_bad_request(simulated, stream):
    with pytest.raises(openai.BadRequestError) as caught:
        client(simulated).images.generate(model="gpt-image-1", prompt="x", n=0, stream=stream)
    error = caught.value
    assert error.type == "invalid_request_error" and error.param == "n" and error.request_id and error.message


REFUSAL = {"error": {"message": "Rejected by the safety system.", "type": "image_generation_user_error",
                     "param": None, "code": "moderation_blocked"}}
BAD_KEY = {"error": {"message": "Incorrect API key provided: sk-secret.", "type": "invalid_request_error",
                     "param": None, "code": "invalid_api_key"}}
BUSY = {"error": {"message": "Rate limit reached.", "type": "rate_limit_error", "param": None,
                  "code": "rate_limit_exceeded"}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [(400, REFUSAL, openai.BadRequestError), (401, BAD_KEY, openai.InternalServerError)],
    ids=["refusal", "bad-key"],
)
def test_upstream_refusals_keep_their_kind(serve, stream, status, body, expected):
    """A refusal reaches the caller as one; the gateway's own bad key is no business of the caller's. Neither is retried."""
    with Upstream(lambda call: call.answer(status, body)) as upstream:
        server = serve({"real": upstream.config}, [routed(OPENAI, "real")])
        with pytest.raises(expected) as caught:
            client(server).images.generate(model="gpt-image-1", prompt="x", stream=stream)
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert "sk-secret" not in str(caught.value)
        assert len(upstream.calls) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_busy_upstream_is_tried_again_by_the_sdk(serve, stream):
    """Nothing was drawn, so nothing was paid: the SDK may ask again when the upstream said it may, and then succeeds."""
    final = picture()

    def behaviour(call):
        if len(upstream.calls) == 1:
            call.answer(429, BUSY, Retry_After="1")
        elif call.json.get("stream"):
            call.start_stream()
            call.write(completed(final))
        else:
            call.answer(200, {"created": 1781870406, "data": [{"b64_json": final}]})

    with Upstream(behaviour) as upstream:
        server = serve({"real": {**upstream.config, "retry": {"attempts": 1}}}, [routed(OPENAI, "real")])
        with pytest.raises(openai.InternalServerError) as caught:
            client(server, max_retries=0).images.generate(model="gpt-image-1", prompt="x", stream=stream)
        assert caught.value.status_code == 503 and int(caught.value.response.headers["retry-after"]) >= 1
        assert "x-should-retry" not in caught.value.response.headers
        upstream.calls.clear()
        answer = client(server, max_retries=1).images.generate(model="gpt-image-1", prompt="x", stream=stream)
        assert (list(answer) if stream else answer.data)[-1].b64_json == final and len(upstream.calls) == 2


def test_failure_after_the_request_was_taken_is_not_retried(serve):
    """Without `x-should-retry: false` the SDK would order, and pay for, three pictures."""

    def behaviour(call):
        call.answer(500, {"error": {"message": "boom", "type": "server_error", "param": None, "code": None}})

    with Upstream(behaviour) as upstream:
        server = serve({"real": upstream.config}, [routed(OPENAI, "real")])
        with pytest.raises(openai.InternalServerError):
            client(server, max_retries=2).images.generate(model="gpt-image-1", prompt="x")
        assert len(upstream.calls) == 1


def test_failure_inside_the_stream_raises(serve):
    shown = threading.Event()

    def behaviour(call):
        call.start_stream()
        call.write(partial(0, picture()))
        # A failure that comes before the stream has begun is told by its status.
        shown.wait(30)

    with Upstream(behaviour) as upstream:
        server = serve({"real": upstream.config}, [routed(OPENAI, "real")])
        seen = []
        with pytest.raises(openai.APIError) as caught:
            for event in client(server).images.generate(
                model="gpt-image-1", prompt="x", stream=True, partial_images=1
            ):
                seen.append(event)
                shown.set()
        assert len(seen) == 1 and caught.value.code and len(upstream.calls) == 1


def test_payloads_are_byte_equal(serve):
    sent = [picture(48, 32, seed) for seed in range(3)]

    def behaviour(call):
        call.start_stream()
        call.write(partial(0, sent[0]) + partial(1, sent[1]) + completed(sent[2]))

    with Upstream(behaviour) as upstream:
        server = serve({"real": upstream.config}, [routed(OPENAI, "real")])
        events = client(server).images.generate(model="m", prompt="x", stream=True, partial_images=2)
        assert [event.b64_json for event in events] == sent
