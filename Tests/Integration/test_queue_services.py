"""Presets of queued services against the simulator's upstream side, by way of a restart."""

import json

import pytest

from conftest import UNIFIED, routed
from safelight import Stream, get, wait_until

MODELS = {"fal": ("/fal", "fal-ai/flux/dev"), "replicate": ("/replicate/v1", "maker/flux"), "bfl": ("/bfl/v1", "flux-2-pro")}


def upstream(preset, port):
    root, model = MODELS[preset]
    return {"provider": "queue", "preset": preset, "base_url": f"http://127.0.0.1:{port}{root}", "model": model}


@pytest.mark.parametrize("preset", MODELS)
def test_a_job_is_picked_up_after_a_kill(serve, simulator, event_schema, preset):
    server = serve(
        {"lab": upstream(preset, simulator)}, [routed(UNIFIED, "lab")], storage={"jobs": {"sqlite": "jobs.db"}}
    )
    request = {"prompt": "[sim duration=6s queue=0] a lake", "aspect_ratio": "16:9", "stream": True}
    with Stream(server.port, UNIFIED["path"], request) as stream:
        generating = 0
        for event in stream:
            event_schema.validate(event.json)
            generating += event.json["stage"] == "generating"
            # The upstream was asked about the job by then, and so the job store has its name there.
            if generating == 2:
                job = event.json["job_id"]
                break
        server.kill()
    server.start_again()

    def finished():
        status, _, body = get(server.port, f"/v1/jobs/{job}")
        assert status == 200
        snapshot = json.loads(body)
        return snapshot.get("finished_at") and snapshot

    snapshot = wait_until(finished, 30, "the picture")
    assert snapshot["status"] == "completed", snapshot
    assert len(snapshot["images"]) == 1
