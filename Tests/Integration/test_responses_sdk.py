"""The stock `openai` package from PyPI, unmodified: pictures by the Responses API."""

import asyncio
import base64
import threading

import openai
import pytest

from conftest import routed
from safelight import wait_until
from upstream import Upstream, completed, partial, picture

RESPONSES = {"name": "responses", "mount": "/v1/responses", "dialect": "openai-responses"}
SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
TOOL = {"type": "image_generation", "size": "1024x1024", "quality": "low", "partial_images": 2}
ASKED = {
    "model": "gpt-image-1", "input": "[sim profile=fast] a boat", "tools": [TOOL],
    "tool_choice": {"type": "image_generation"},
}


@pytest.fixture
def simulated(serve):
    return serve(SIMULATED, [routed(RESPONSES, "darkroom")])


def client(server, kind=openai.OpenAI, **options):
    return kind(base_url=f"{server.url}/v1", api_key="unused", **options)


def pictures(response):
    return [item.result for item in response.output if item.type == "image_generation_call"]


def assert_picture(response):
    assert response.status == "completed" and response.error is None
    (result,) = pictures(response)
    assert base64.b64decode(result, validate=True).startswith(b"\x89PNG")
    assert response.usage.total_tokens >= 0


def assert_stream(events):
    types = [event.type.removeprefix("response.") for event in events]
    call = "image_generation_call."
    assert types == [
        "created", "in_progress", "output_item.added", f"{call}in_progress", f"{call}generating",
        f"{call}partial_image", f"{call}partial_image", f"{call}completed", "output_item.done", "completed",
    ]
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers)) and numbers[0] == 0
    previews = [event for event in events if event.type.endswith("partial_image")]
    assert [event.partial_image_index for event in previews] == [0, 1]
    assert all(base64.b64decode(event.partial_image_b64).startswith(b"\x89PNG") for event in previews)
    assert pictures(events[-1].response) == [events[-2].item.result]
    assert_picture(events[-1].response)


def lasting(events):
    """What is not superseded once the picture is there."""
    return [event.type for event in events if not event.type.endswith("partial_image")]


def test_whole_answer(simulated):
    response = client(simulated).responses.create(**ASKED, metadata={"post": "17"})
    assert_picture(response)
    assert response.metadata == {"post": "17"}
    assert response.output[0].size and response.output[0].output_format == "png"


def test_stream(simulated):
    assert_stream(list(client(simulated).responses.create(**ASKED, stream=True)))


def test_stream_helper(simulated):
    with client(simulated).responses.stream(**ASKED) as stream:
        assert_stream(list(stream))
        assert_picture(stream.get_final_response())


def test_async_client(simulated):
    async def run():
        async with client(simulated, openai.AsyncOpenAI) as asynchronous:
            whole = await asynchronous.responses.create(**ASKED)
            stream = await asynchronous.responses.create(**ASKED, stream=True)
            return whole, [event async for event in stream]

    whole, events = asyncio.run(run())
    assert_picture(whole)
    assert_stream(events)


def test_turns_and_pictures_become_an_edit(serve):
    """The last message's pictures are edited; a picture of an earlier turn is, where the tool says so."""
    sent = [picture(16, 16, seed) for seed in range(2)]
    with Upstream(lambda call: call.answer(200, {"created": 1, "data": [{"b64_json": sent[1]}]})) as upstream:
        server = serve({"real": upstream.config}, [routed(RESPONSES, "real", unsupported="drop")])
        part = {"type": "input_image", "image_url": f"data:image/png;base64,{sent[0]}"}
        asked = {**ASKED, "input": [{"role": "user", "content": [{"type": "input_text", "text": "at night"}, part]}]}
        response = client(server).responses.create(**asked)
        assert pictures(response) == [sent[1]] and response.output[0].action == "edit"
        turns = [
            {"role": "user", "content": "a boat"},
            {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": sent[0]},
            {"role": "user", "content": "at night"},
        ]
        edit = {**ASKED, "input": turns, "tools": [{**TOOL, "action": "edit"}]}
        assert pictures(client(server).responses.create(**edit)) == [sent[1]]
        assert [call.path for call in upstream.calls] == ["/v1/images/edits"] * 2


class Halting:
    """An upstream that stops behind its first preview, and behind its second, until it may go on."""

    def __init__(self):
        self.gate = threading.Event()
        self.last = threading.Event()
        self.sent = [picture(24, 16, seed) for seed in range(3)]
        self.gone = threading.Event()

    def __call__(self, call):
        call.start_stream()
        call.write(partial(0, self.sent[0]))
        if self.waited(call, self.gate):
            call.write(partial(1, self.sent[1]))
            if self.waited(call, self.last):
                call.write(completed(self.sent[2]))

    def waited(self, call, gate):
        while not gate.wait(0.02):
            if call.wait_until_gone(0):
                self.gone.set()
                return False
        return True

    def finish(self):
        self.gate.set()
        self.last.set()


def test_resume_behind_a_sequence_number(serve):
    halting = Halting()
    with Upstream(halting) as upstream:
        server = serve({"real": upstream.config}, [routed(RESPONSES, "real")])
        openai_client = client(server)
        seen = []
        with openai_client.responses.create(**ASKED, stream=True) as stream:
            for event in stream:
                seen.append(event)
                if event.type.endswith("partial_image"):
                    break
        job = seen[0].response.id
        assert openai_client.responses.retrieve(job).status == "in_progress"
        rest = []
        resumed = openai_client.responses.retrieve(job, stream=True, starting_after=seen[-1].sequence_number)
        halting.gate.set()
        for event in resumed:
            rest.append(event)
            # A picture that is there would supersede a preview that was not yet read.
            if event.type.endswith("partial_image"):
                halting.last.set()
        assert_stream(seen + rest)
        assert [event.partial_image_b64 for event in seen + rest if event.type.endswith("partial_image")] == halting.sent[:2]
        # Every place to stop at leads to the same end.
        everything = seen + rest
        for position, event in enumerate(everything):
            again = list(openai_client.responses.retrieve(job, stream=True, starting_after=event.sequence_number))
            assert lasting(again) == lasting(everything[position + 1 :]), event.type
            assert all(one.sequence_number > event.sequence_number for one in again)
        with openai_client.responses.stream(response_id=job) as stream:
            assert pictures(stream.get_final_response()) == [halting.sent[2]]
        assert pictures(openai_client.responses.retrieve(job)) == [halting.sent[2]]
        assert len(upstream.calls) == 1


def test_background_is_followed_and_polled(serve):
    halting = Halting()
    with Upstream(halting) as upstream:
        server = serve({"real": upstream.config}, [routed(RESPONSES, "real")])
        openai_client = client(server)
        response = openai_client.responses.create(**ASKED, background=True)
        assert response.status in ("queued", "in_progress") and response.background
        wait_until(lambda: openai_client.responses.retrieve(response.id).status == "in_progress", 10, "the beginning")
        halting.finish()
        events = list(openai_client.responses.retrieve(response.id, stream=True))
        assert events[0].type == "response.created" and events[1].type == "response.queued"
        assert pictures(events[-1].response) == [halting.sent[2]]
        assert pictures(openai_client.responses.retrieve(response.id)) == [halting.sent[2]]


def test_cancel(serve):
    halting = Halting()
    with Upstream(halting) as upstream:
        server = serve({"real": upstream.config}, [routed(RESPONSES, "real")])
        openai_client = client(server)
        with openai_client.responses.create(**ASKED, stream=True) as stream:
            job = next(iter(stream)).response.id
            cancelled = openai_client.responses.cancel(job)
            assert cancelled.status == "cancelled" and cancelled.id == job
            last = list(stream)[-1]
        assert last.type == "response.failed" and last.response.error.code == "cancelled"
        assert halting.gone.wait(10), "the upstream is told"
        assert openai_client.responses.cancel(job).status == "cancelled", "again"
        assert openai_client.responses.retrieve(job).status == "cancelled"
        with pytest.raises(openai.NotFoundError):
            openai_client.responses.cancel("resp_unknown")
        assert upstream.calls


def test_failures_have_the_apis_form(serve):
    def refuse(call):
        call.answer(400, {"error": {"message": "No.", "type": "image_generation_user_error", "param": None,
                                    "code": "moderation_blocked"}})

    with Upstream(refuse) as upstream:
        server = serve({"real": upstream.config}, [routed(RESPONSES, "real")])
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as caught:
                client(server).responses.create(**ASKED, stream=stream)
            assert caught.value.code == "moderation_blocked"
        assert len(upstream.calls) == 2

    def break_off(call):
        call.start_stream()
        call.write(partial(0, picture()))

    with Upstream(break_off) as upstream:
        server = serve({"real": upstream.config}, [routed(RESPONSES, "real")])
        last = list(client(server).responses.create(**ASKED, stream=True))[-1]
        assert last.type == "response.failed" and last.response.status == "failed"
        assert last.response.error.code == "upstream_truncated" and last.response.output == []
        failed = client(server).responses.retrieve(last.response.id)
        assert failed.status == "failed" and failed.error.code == "upstream_truncated"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0]"), ({"tools": []}, "tools"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"), ({"conversation": "conv_1"}, "conversation"),
        ({"input": [{"type": "item_reference", "id": "ig_1"}]}, "input[0]"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"tools": [{**TOOL, "output_format": "svg"}]}, "tools[0].output_format"),
    ],
)
def test_what_is_not_served_is_said(simulated, change, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client(simulated).responses.create(**{**ASKED, **change})
    assert caught.value.param == param and caught.value.code == "unsupported_parameter"
