"""The stock `replicate` package from PyPI, unmodified, pointed at the gateway."""

import asyncio
import base64
import hashlib
import json
import threading

import pytest

replicate = pytest.importorskip("replicate")

from conftest import routed
from safelight import Stream, get, post, wait_until
from test_tokens import create
from upstream import Upstream, completed, partial, picture

REPLICATE = {"name": "predictions", "mount": "/replicate/v1", "dialect": "replicate"}
SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
STORED = {"storage": {"images": {"disk": "images"}}}
MODEL = "black-forest-labs/flux-dev"
INPUT = {"prompt": "[sim profile=fast] a boat", "num_outputs": 2, "seed": 7, "guidance": 3.5}


@pytest.fixture(params=["url", "inline"])
def simulated(request, serve):
    """With an image store outputs are URLs, without one they are the pictures themselves."""
    sections = STORED if request.param == "url" else {}
    # What the models know and the upstream does not is left out.
    return serve(SIMULATED, [routed(REPLICATE, "darkroom", unsupported="drop")], **sections)


def client(server):
    return replicate.Client(api_token="unused", base_url=f"{server.url}/replicate")


def content(server, output):
    """The bytes behind an output, whatever form it has."""
    url = getattr(output, "url", output)
    if url.startswith("data:image/png;base64,"):
        return base64.b64decode(url.partition(",")[2], validate=True)
    assert url.startswith(f"{server.url}/v1/images/")
    status, _, body = get(server.port, url.removeprefix(server.url))
    assert status == 200
    return body


def test_run(simulated):
    outputs = client(simulated).run(MODEL, input=INPUT)
    assert len(outputs) == 2
    assert all(content(simulated, output).startswith(b"\x89PNG") for output in outputs)


def test_run_of_a_version(simulated):
    outputs = client(simulated).run(f"{MODEL}:{'5' * 64}", input=INPUT)
    assert len(outputs) == 2


def test_run_without_waiting(simulated):
    outputs = client(simulated).run(MODEL, input=INPUT, wait=False)
    assert len(outputs) == 2


def test_run_asynchronously(simulated):
    outputs = asyncio.run(client(simulated).async_run(MODEL, input=INPUT))
    assert all(content(simulated, output).startswith(b"\x89PNG") for output in outputs)


def test_stream(simulated):
    events = list(client(simulated).stream(MODEL, input=INPUT))
    kinds = [event.event.value for event in events]
    assert kinds[0] == "logs" and kinds.count("output") == 2 and kinds[-1] == "done"
    ids = [event.id for event in events]
    assert len(set(ids)) == len(ids)
    outputs = [event.data for event in events if event.event.value == "output"]
    assert all(content(simulated, output).startswith(b"\x89PNG") for output in outputs)


def test_prediction_is_polled(simulated):
    prediction = client(simulated).models.predictions.create(MODEL, input=INPUT)
    assert prediction.status == "starting" and prediction.model == MODEL and prediction.output is None
    assert prediction.input["prompt"] == INPUT["prompt"] and prediction.input["guidance"] == "3.5"
    prediction.wait()
    assert prediction.status == "succeeded" and len(prediction.output) == 2 and prediction.error is None
    assert prediction.metrics["predict_time"] >= 0 and prediction.completed_at
    assert prediction.progress.percentage > 0
    assert [p.id for p in client(simulated).predictions.list()] == [], "nobody has no list"


def halting(gate):
    def behaviour(call):
        call.start_stream()
        call.write(partial(0, picture()))
        while not gate.wait(0.02):
            if call.wait_until_gone(0):
                return
        call.write(completed(picture(16, 16, 2)))

    return behaviour


def test_waiting_ends_with_starting(serve):
    """What is not finished in time must not look final."""
    gate = threading.Event()
    with Upstream(halting(gate)) as upstream:
        server = serve({"real": upstream.config}, [routed(REPLICATE, "real")])
        prediction = client(server).models.predictions.create(MODEL, input={"prompt": "x"}, wait=1)
        assert prediction.status == "starting" and prediction.output is None
        prediction.reload()
        assert prediction.status == "processing"
        gate.set()
        prediction.wait()
        assert prediction.status == "succeeded" and len(upstream.calls) == 1


def test_cancel(serve):
    with Upstream(halting(threading.Event())) as upstream:
        server = serve({"real": upstream.config}, [routed(REPLICATE, "real")])
        prediction = client(server).models.predictions.create(MODEL, input={"prompt": "x"})
        wait_until(lambda: upstream.calls, what="the call")
        prediction.cancel()
        assert prediction.status == "canceled"
        events = list(prediction.stream())
        assert events[-1].event.value == "done" and "canceled" in events[-1].data
        prediction.cancel()
        assert prediction.status == "canceled"
        server.wait_idle_jobs()
        assert len(upstream.calls) == 1


def test_failure(serve):
    with Upstream(lambda call: call.answer(500, {"error": {"message": "boom", "type": "server_error"}})) as upstream:
        server = serve({"real": upstream.config}, [routed(REPLICATE, "real")])
        with pytest.raises(replicate.exceptions.ModelError) as caught:
            client(server).run(MODEL, input={"prompt": "x"})
        prediction = caught.value.prediction
        assert prediction.status == "failed" and prediction.error and prediction.output is None
        with pytest.raises(RuntimeError):
            list(client(server).stream(MODEL, input={"prompt": "x"}))
        assert len(upstream.calls) == 2, "nothing is repeated that may have been paid for"


def test_bad_values(simulated):
    with pytest.raises(replicate.exceptions.ReplicateError) as caught:
        client(simulated).run(MODEL, input={"prompt": "x", "num_outputs": 0})
    assert caught.value.status == 422 and "num_outputs" in caught.value.detail
    with pytest.raises(replicate.exceptions.ReplicateError) as caught:
        client(simulated).predictions.create(model=MODEL, input={"prompt": "x"}, webhook="https://example.com/hook")
    assert caught.value.status == 400 and "webhook" in caught.value.detail
    with pytest.raises(replicate.exceptions.ReplicateError) as caught:
        client(simulated).predictions.get("unknown")
    assert caught.value.status == 404


def test_stream_is_taken_up_at_an_id(serve):
    gate = threading.Event()
    with Upstream(halting(gate)) as upstream:
        server = serve({"real": upstream.config}, [routed(REPLICATE, "real")])
        _, _, body = post(server.port, "/replicate/v1/predictions", {"version": MODEL, "input": {"prompt": "x"}})
        path = json.loads(body)["urls"]["stream"].removeprefix(server.url)
        with Stream(server.port, path, None, method="GET") as stream:
            first = next(iter(stream))
        gate.set()
        with Stream(server.port, path, None, {"Last-Event-ID": first.id}, method="GET") as stream:
            rest = list(stream)
        assert first.id not in [event.id for event in rest] and rest[-1].name == "done"
        digest = hashlib.sha256(base64.b64decode(rest[-2].data.partition(",")[2])).hexdigest()
        assert digest == hashlib.sha256(base64.b64decode(picture(16, 16, 2))).hexdigest()
        with Stream(server.port, path, None, {"Last-Event-ID": rest[-1].id}, method="GET") as stream:
            assert stream.status == 204
        assert len(upstream.calls) == 1


def test_its_token_is_ours(serve):
    closed = routed(REPLICATE, "darkroom", unsupported="drop", auth="required", public_without_limits=False)
    server = serve(SIMULATED, [closed], storage={**STORED["storage"], "jobs": {"sqlite": "var/safelight.db"}})
    token, _ = create(server, scope=())
    stock = lambda text: replicate.Client(api_token=text, base_url=f"{server.url}/replicate")
    outputs = stock(token).run(MODEL, input=INPUT)
    assert all(content(server, output).startswith(b"\x89PNG") for output in outputs)
    prediction = stock(token).predictions.create(model=MODEL, input=INPUT)
    assert stock(token).predictions.get(prediction.id).id == prediction.id
    other, _ = create(server, scope=())
    for text, status in (("wrong", 401), (other, 404)):
        with pytest.raises(replicate.exceptions.ReplicateError) as caught:
            stock(text).predictions.get(prediction.id)
        assert caught.value.status == status
