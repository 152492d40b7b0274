"""Pictures of the Jobs and Distill pages for docs/: the real app, its worker and a real training in Chromium.

    python -m tests.screens_jobs [--out docs] [--method tscd] [--base toybox-sd] [--steps 60]

A studio of its own gets a folder of pictures that the box's model paints; the base is distilled on those, and the
pictures are taken while it runs, after --steps steps. Takes minutes.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.keystroke import CHROMIUM, FLAGS, app
from core.paths import ROOT
from jobs import kinds
from jobs.job import Job, State
from jobs.store import Store

PROMPTS = ("a red mushroom", "a blue ball", "a yellow teapot", "a green cone", "a pink house", "a teal robot")
MIXTURE = {"method": "sft", "dataset": "mixture"}
DESK, PHONE = {"width": 1400, "height": 1100}, {"width": 390, "height": 844}
SHOTS = {
    "jobs-light": ("jobs", "light", DESK),
    "jobs-dark": ("jobs", "dark", DESK),
    "jobs-phone": ("jobs", "light", PHONE),
    "distill-light": ("distill", "light", DESK),
}


def paint(folder: Path) -> None:
    """The data set: four pictures a prompt, each with its caption beside it."""
    from models.engine import Engine
    from models.generate import Image
    from models.request import ImageRequest

    folder.mkdir(parents=True)
    engine = Engine()
    for prompt in PROMPTS:
        for event in engine.generate(ImageRequest(prompt=prompt, seed=7, num_images=4)):
            if isinstance(event, Image):
                name = f"{prompt.replace(' ', '-')}-{event.seed}"
                event.picture.save(folder / f"{name}.png")
                (folder / f"{name}.txt").write_text(prompt)


def submit(store: Store, **settings: str) -> Job:
    return store.submit("distill", kinds.request("distill", settings, {}).to_dict())


def ask(store: Store, method: str, base: str) -> Job:
    """A morning's list: one failed, one is done, one is paused, one runs, two wait. Returns the one that runs."""
    submit(store, **MIXTURE, lr="1e12")
    submit(store, **MIXTURE)
    often = {"train.log_every": "1", "train.sample_every": "20", "train.checkpoint_every": "20", "train.warmup": "10"}
    runs = submit(store, method=method, base=base, dataset="plushies", **often, **{"train.batch_size": "8"})
    submit(store, method="scm_ladd", base="toybox-sana", dataset="plushies")
    submit(store, method="sft", base="toybox-sana", dataset="toys+emoji", minutes="90")
    store.pause(submit(store, method="autoencoder", dataset="plushies").id)
    return runs


def main() -> int:
    p = argparse.ArgumentParser("tests.screens_jobs", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--out", type=Path, default=ROOT / "docs")
    p.add_argument("--method", default="tscd")
    p.add_argument("--base", default="toybox-sd")
    p.add_argument("--steps", type=int, default=60, help="of the training that is shown")
    args = p.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ["STILL_LIFE_STUDIO"] = home
        paint(Path(home) / "datasets" / "plushies")
        store = Store(Path(home))
        job = ask(store, args.method, args.base)
        with app(Path(home)) as (address, *_), sync_playwright() as playwright:
            while (store.get(job.id).step or 0) < args.steps:
                assert store.get(job.id).state in (State.QUEUED, State.RUNNING), store.get(job.id).error
                time.sleep(1)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            for name, (path, theme, size) in SHOTS.items():
                page = browser.new_page(viewport=size, color_scheme=theme)
                page.set_default_timeout(300_000)
                page.goto(f"{address}{path}?id={job.id}")
                page.locator(".sl-job .sl-grid").wait_for()
                page.locator(".sl-job polyline").first.wait_for()
                page.wait_for_timeout(2000)  # so that gradio's own fonts and bars are done
                page.screenshot(path=args.out / f"{name}.png")
                print(args.out / f"{name}.png")
            browser.close()
            for left in store.jobs((State.QUEUED, State.PAUSED, State.RUNNING)):
                store.cancel(left.id)
            while store.jobs((State.RUNNING,)):
                time.sleep(0.2)
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
