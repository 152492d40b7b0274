"""`make storm`: a hundred clients for a minute against the app as it is started by hand (T-DOS-01, T-DOS-02)."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from core.paths import ROOT
from tests import tiny
from tests.test_http import ASK, arrived, endpoint, ordered

CLIENTS, SECONDS = 100, 60
MEGABYTES = 60  # by which memory may grow in the second half: buffers, not a leak of pictures


def resident(http) -> float:
    """MB of the app, as it says itself."""
    match = re.search(r"^still_life_process_resident_memory_bytes (\S+)", http.get("metrics").text, re.MULTILINE)
    return float(match[1]) / 1e6


def watch(address: str, over: threading.Event, seen: list[float]) -> None:
    with httpx.Client(base_url=address, timeout=120) as http:
        while not over.wait(2):
            seen.append(resident(http))


@pytest.mark.slow
def test_a_hundred_clients_for_a_minute(tmp_path):
    studio = tiny.build(tmp_path)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{s.getsockname()[1]}"
    env = {**os.environ, "STILL_LIFE_STUDIO": str(studio), "GRADIO_TEMP_DIR": str(tmp_path / "served")}
    command = [sys.executable, "app.py", "--backend", "torch", "--port", address.rpartition(":")[2]]
    locust = [sys.executable, "-m", "locust", "-f", "tests/storm.py", "--headless", "--host", address, "--json"]
    locust += ["--users", str(CLIENTS), "--spawn-rate", "25", "--run-time", f"{SECONDS}s", "--stop-timeout", "60"]
    over, seen = threading.Event(), []
    with (tmp_path / "app.log").open("w") as log, subprocess.Popen(command, cwd=ROOT, env=env, stderr=log) as app:
        try:
            arrived(address, app)
            watching = threading.Thread(target=watch, args=(address, over, seen))
            watching.start()
            out = subprocess.run(locust, cwd=ROOT, env=env, capture_output=True, text=True)
            over.set()
            watching.join()
            begun = time.monotonic()
            with httpx.Client(base_url=address, timeout=60) as http:
                assert endpoint(http, "generate", ordered())[0] == "complete"
                recovered = time.monotonic() - begun
        finally:
            over.set()
            app.terminate()
            app.wait(30)
    rows = {row["name"]: row for row in json.loads(out.stdout)}
    quarters = ", ".join(f"{seen[min(len(seen) * n // 4, len(seen) - 1)]:.0f}" for n in range(5))
    print(
        "\n".join(report(rows)), f"memory at each quarter: {quarters} MB; quick again after {recovered:.1f} s", sep="\n"
    )
    assert out.returncode == 0 and not any(row["num_failures"] for row in rows.values()), out.stderr[-3000:]
    assert rows["picture"]["num_requests"] > CLIENTS and recovered < 5
    assert max(seen[len(seen) // 2 :]) - seen[len(seen) // 2] < MEGABYTES
    logged = [json.loads(line) for line in (tmp_path / "app.log").read_text().splitlines() if line.startswith("{")]
    assert sum(line["message"] == "painted" for line in logged) >= rows["picture"]["num_requests"]
    assert ASK["prompt"] not in (tmp_path / "app.log").read_text()


def report(rows: dict[str, dict]) -> list[str]:
    """How many, and milliseconds for half and for 95 of a hundred."""
    return [
        f"{name:10} {row['num_requests']:6} times, {row['num_failures']} failed, "
        f"p50 {share(row, 0.5)} ms, p95 {share(row, 0.95)} ms"
        for name, row in rows.items()
    ]


def share(row: dict, part: float) -> int:
    """The response time under which this part of the requests stays; locust counts them by rounded milliseconds."""
    left = part * row["num_requests"]
    for time_ms, count in sorted((float(k), v) for k, v in row["response_times"].items()):
        left -= count
        if left <= 0:
            return round(time_ms)
    return 0
