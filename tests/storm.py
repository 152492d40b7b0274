"""A hundred people and a few vandals at one page, for locust (`make storm` runs it by tests/test_storm.py).

    python -m locust -f tests/storm.py --headless --host http://127.0.0.1:7860 --users 100 --run-time 60s

Whatever is neither right nor a polite refusal counts as a failure: a picture of somebody else's seed, a status that
was not expected, a connection that was cut.
"""

import json
import random

from locust import FastHttpUser, between, task

from tests.test_http import ordered


class Visitor(FastHttpUser):
    weight = 19
    wait_time = between(0.2, 2.0)
    connection_timeout = network_timeout = 60.0

    def on_start(self) -> None:
        self.client.get("/", name="the page")

    @task(6)
    def paint(self) -> None:
        """Ask for a picture and wait for it, or hear that the queue is full."""
        seed = random.randrange(2**31)
        body = {"data": ordered(seed=seed, num_images=random.choice((1, 1, 1, 4)))}
        with self.client.post("/gradio_api/call/generate", json=body, name="ask", catch_response=True) as answer:
            if answer.status_code == 503 and "Queue is full" in answer.text and "retry-after" in answer.headers:
                answer.success()
                self.environment.events.request.fire(
                    request_type="POST", name="refused", response_time=0, response_length=0, exception=None, context={}
                )
                return
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}: {answer.text[:200]}")
                return
        event = f"/gradio_api/call/generate/{answer.json()['event_id']}"
        with self.client.get(event, name="picture", catch_response=True) as got:
            if not _own(got.text, seed):
                got.failure(f"status {got.status_code}, not the picture of seed {seed}: {str(got.text)[-200:]}")

    @task(2)
    def look(self) -> None:
        self.client.get("/", name="the page")

    @task(1)
    def check(self) -> None:
        self.client.get("/healthz", name="healthz")
        with self.client.get("/readyz", name="readyz", catch_response=True) as answer:
            if answer.status_code in (200, 503):
                answer.success()


class Vandal(FastHttpUser):
    weight = 1
    wait_time = between(0.5, 2.0)

    @task
    def harm(self) -> None:
        for path, body, expected in (
            ("/gradio_api/call/generate", "[" * 300_000, (413,)),
            ("/gradio_api/call/generate", "[" * 10_000, (400, 422)),
            ("/gradio_api/queue/join", '{"data": [], "fn_index": -1, "session_hash": "x"}', range(400, 500)),
        ):
            with self.client.post(path, data=body, name="harm", catch_response=True) as answer:
                _expect(answer, expected)
        for path in ("/gradio_api/file=/etc/passwd", "/static/..%2f..%2fapp.py", "/nowhere"):
            with self.client.get(path, name="harm", catch_response=True) as answer:
                _expect(answer, (403, 404))


def _own(text: str | None, seed: int) -> bool:
    """Whether an event's stream ends with pictures of this seed."""
    kind, _, data = (text or "").rpartition("event: ")[2].partition("\ndata: ")
    return kind == "complete" and json.loads(data.strip())[0][0]["seed"] == seed


def _expect(answer, expected) -> None:
    if answer.status_code in expected:
        answer.success()
    else:
        answer.failure(f"status {answer.status_code}, not {expected}")
