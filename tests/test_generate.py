"""The loop against the diffusers pipelines, and what it promises: per-picture seeds, hybrids, branches, stopping."""

import itertools
import json
from dataclasses import replace
from math import atan, pi
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import SanaPipeline, SanaSprintPipeline
from PIL import Image as PicturesOf

from models import catalogue, families, stored
from models.denoiser import on_schedule
from models.generate import Image, generate, grid, main, slerp
from models.guidance import guided
from models.picture import png_bytes, read
from models.request import ImageRequest
from models.samplers import Step
from models.schedule import Flow, add_noise, ddim, flow_input, flow_time, trig_time
from models.stored import branch
from tests import tiny

STUDIO = [tiny.build]
pytestmark = pytest.mark.usefixtures("studio")

PLAIN = {"height": 128, "width": 128, "use_resolution_binning": False, "complex_human_instruction": None}


@pytest.fixture(scope="module")
def sprint(studio):
    return families.load(catalogue.get("tiny-sprint"))


@pytest.fixture(scope="module")
def teacher(studio):
    return families.load(catalogue.get("tiny-sana"))


def ask(model="tiny-sprint", **fields):
    return ImageRequest(**({"prompt": "a red mushroom on a blue ball", "model": model, "seed": 7} | fields))


def pictures(events):
    return [np.asarray(e.picture, dtype=int) for e in events if isinstance(e, Image)]


def same(a, b):
    """Equal but for rounding to 8 bits at the border of two values."""
    assert np.abs(a - b).max() <= 1 and (a != b).mean() < 0.002
    assert a.std() > 5, "a flat picture would equal any other"


def reference(parts, **settings):
    generator = torch.Generator().manual_seed(7)
    settings = PLAIN | {"max_sequence_length": 32, "generator": generator} | settings
    return np.asarray(parts.pipeline("a red mushroom on a blue ball", **settings).images[0], dtype=int)


@pytest.mark.parametrize("steps", [1, 2])
def test_sprint_equals_its_pipeline(sprint, steps):
    assert isinstance(sprint.pipeline, SanaSprintPipeline)
    ours = pictures(generate(sprint, ask(steps=steps)))[0]
    middle, most = (1.3, 1.5683) if steps == 2 else (None, 1.5708)
    theirs = reference(
        sprint, num_inference_steps=steps, intermediate_timesteps=middle, max_timesteps=most, guidance_scale=3.5
    )
    same(ours, theirs)


@pytest.mark.parametrize("guidance, negative", [(3.0, ""), (4.5, "a cube"), (1.0, "")])
def test_teacher_equals_its_pipeline(teacher, guidance, negative):
    assert isinstance(teacher.pipeline, SanaPipeline)
    ours = pictures(generate(teacher, ask("tiny-sana", steps=8, guidance=guidance, negative=negative)))[0]
    theirs = reference(teacher, num_inference_steps=8, guidance_scale=guidance, negative_prompt=negative)
    same(ours, theirs)


def test_four_steps_are_the_papers(sprint):
    """SANA-Sprint, Table 7; the pipeline can't do these."""
    steps = [e for e in generate(sprint, ask(steps=4)) if isinstance(e, Step)]
    assert [s.t * pi / 2 for s in steps] == pytest.approx([1.5683, 1.3, 1.1, 0.6], abs=1e-5)
    assert atan(200 / 0.5) == pytest.approx(1.5683, abs=1e-4)


def test_schedules_and_guidance_change_the_picture(sprint):
    one, two = pictures(generate(sprint, ask(steps=1))), pictures(generate(sprint, ask(steps=2)))
    more = pictures(generate(sprint, ask(steps=1, guidance=5.0)))
    assert np.abs(one[0] - two[0]).max() > 3 and np.abs(one[0] - more[0]).max() > 1


@pytest.mark.parametrize("model, steps", [("tiny-sprint", 2), ("tiny-sana", 4)])
def test_a_picture_of_a_batch_is_the_picture_of_its_seed(sprint, teacher, model, steps):
    parts = sprint if model == "tiny-sprint" else teacher
    request = ask(model, steps=steps, num_images=6, prompt="a {ball|blue cube on the left|big red mushroom}{| there}")
    batch = list(generate(parts, request))
    assert [e.index for e in batch if isinstance(e, Image)] == list(range(6))
    lengths = parts.text([e.text for e in batch if isinstance(e, Image)]).mask.sum(1)
    assert len(set(lengths.tolist())) > 2, "or each mask would do for every prompt"
    for k, event in enumerate(e for e in batch if isinstance(e, Image)):
        alone = list(generate(parts, request.single(k)))[-1]
        assert (alone.seed, alone.text) == (event.seed, event.text) == (7 + k, event.text)
        same(np.asarray(event.picture, dtype=int), np.asarray(alone.picture, dtype=int))


def test_more_like_this(sprint):
    base = pictures(generate(sprint, ask()))[0]
    near, far = (pictures(generate(sprint, ask(variation=v, variation_seed=3, num_images=3))) for v in (0.1, 0.6))
    off = [np.abs(p - base).mean() for p in (*near, *far)]
    assert 0 < max(off[:3]) < min(off[3:])
    assert np.abs(near[0] - near[1]).max() > 0
    same(
        pictures(generate(sprint, ask(variation=1.0, variation_seed=99)))[0],
        pictures(generate(sprint, ask(seed=99)))[0],
    )
    alone = pictures(generate(sprint, ask(variation=0.6, variation_seed=3, num_images=3).single(2)))[0]
    same(alone, far[2])


def test_slerp_keeps_the_norm_of_noise():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(1, 16, 8, 8, generator=g), torch.randn(1, 16, 8, 8, generator=g)
    assert slerp(a, b, 0.5).std() == pytest.approx(1.0, abs=0.05)
    assert torch.allclose(slerp(a, b, 0), a, atol=1e-6) and torch.allclose(slerp(a, b, 1), b, atol=1e-6)
    assert torch.equal(slerp(a, a, 0.5), a)


@pytest.mark.parametrize("model, steps", [("tiny-sprint", 4), ("tiny-sana", 6)])
def test_a_run_goes_on_from_a_stored_step(sprint, teacher, model, steps):
    """Bit for bit, from any step: noise of the steps before is drawn, and what a solver remembers is stored."""
    parts, request = sprint if model == "tiny-sprint" else teacher, ask(model, steps=steps, seed=8)
    whole = list(generate(parts, request))
    kept = [e for e in whole if isinstance(e, Step)]
    for i in range(steps):
        again = ImageRequest.from_json(branch(kept[i], request, 0).to_json())
        rest = list(generate(parts, again))
        assert [e.i for e in rest if isinstance(e, Step)] == list(range(i, steps))
        assert np.array_equal(pictures(rest)[0], pictures(whole)[0])
    pair = [e for e in generate(parts, ask(model, steps=steps, num_images=2)) if isinstance(e, Step)]
    second = pictures(generate(parts, branch(pair[1], ask(model, steps=steps, num_images=2), 1)))[0]
    same(second, pictures(whole)[0])


def test_a_branched_picture_is_restored_from_its_png(sprint, tmp_path):
    """With another prompt, and more pictures that differ by what noise comes later; its start says where it is from."""
    request = ask(steps=4)
    kept = [e for e in generate(sprint, request) if isinstance(e, Step)]
    other = replace(branch(kept[1], request, 0), prompt="a blue cube", num_images=2)
    painted = [e for e in generate(sprint, other) if isinstance(e, Image)]
    assert np.abs(np.asarray(painted[0].picture, int) - np.asarray(painted[1].picture, int)).max() > 3
    restored = read(png_bytes(painted[1].picture, other.single(1))).request
    assert restored == other.single(1) and restored.start == other.start and restored.start_step == 1
    same(pictures(generate(sprint, restored))[0], np.asarray(painted[1].picture, dtype=int))
    assert stored.load(restored.start).request == request


def test_a_start_that_is_not_here_or_not_of_this_run_is_one_sentence(sprint, teacher, studio):
    request = ask(steps=4)
    kept = [e for e in generate(sprint, request) if isinstance(e, Step)]
    start = branch(kept[1], request, 0)
    with pytest.raises(ValueError, match="the stored step is no step 2 of 4 steps of tiny-sprint"):
        list(generate(sprint, replace(start, start_step=2)))
    with pytest.raises(ValueError, match="no step 1 of 4 steps of tiny-sana"):
        list(generate(teacher, replace(start, model="tiny-sana", guidance=3.0)))
    with pytest.raises(ValueError, match="is not in this studio"):
        list(generate(sprint, replace(start, start="0" * 64)))
    file = stored.file(start.start)
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(ValueError, match="is damaged: its sha256 is not its name"):
        list(generate(sprint, start))


def test_the_later_another_prompt_takes_over_the_more_stays_of_the_picture():
    """From noised latents, as image-to-image starts: correlation with them rises with less noise, on real weights."""
    parts = families.load(catalogue.get("toybox-sana"), torch.device("cpu"))
    request = ask("toybox-sana", prompt="a yellow teapot", steps=8)
    teapot = list(generate(parts, request))
    kept = [e for e in teapot if isinstance(e, Step)]
    starts = [replace(branch(kept[i], request, 0), prompt="a blue cube on a pink background") for i in (1, 3, 5, 7)]
    painted = [pictures(generate(parts, start))[0] for start in starts]
    stays = [np.corrcoef(p.ravel(), pictures(teapot)[0].ravel())[0, 1] for p in painted]
    assert stays == sorted(stays) and stays[0] < 0.5 < stays[-1], stays


def test_a_base_takes_a_step_of_its_students_run_as_it_takes_its_own(sprint, teacher):
    """With its own guidance, bit for bit, though SANA-Sprint has no empty prompt of its own."""
    request = ask(steps=4, painters="tiny-sana:0-1@3.0")
    events = list(generate(sprint, request, {"tiny-sana": teacher}))
    steps = [e for e in events if isinstance(e, Step)]
    assert [(s.painter, s.turn.w) for s in steps] == [("tiny-sana", 3.0)] * 2 + [("tiny-sprint", 3.5)] * 2
    assert events[-1].calls == 2 + 2 + 1 + 1
    cond, null = teacher.text(request.texts()), teacher.text([""])
    for step in steps[:2]:
        s = flow_time(torch.tensor([step.t]))
        with torch.no_grad():
            own = guided(teacher.denoiser, flow_input(step.x_t, s), s, cond, null, 3.0)
            plain = teacher.denoiser(flow_input(step.x_t, s), s, cond)
        assert torch.equal(step.x0, own) and (step.x0 - plain).abs().max() > 1e-3
    alone = {e.i: e for e in generate(sprint, replace(request, painters="")) if isinstance(e, Step)}
    assert torch.equal(alone[0].x_t, steps[0].x_t) and not torch.equal(alone[0].x0, steps[0].x0)
    all_its_own = list(generate(sprint, replace(request, painters="tiny-sprint:0-3@3.5")))[-1]
    assert all_its_own.picture.tobytes() == list(generate(sprint, replace(request, painters="")))[-1].picture.tobytes()


def test_a_student_takes_a_step_of_its_bases_run_without_a_second_call(sprint, teacher):
    request = ask("tiny-sana", steps=3, guidance=3.0, painters="tiny-sprint:2@4.0")
    events = list(generate(teacher, request, {"tiny-sprint": sprint}))
    assert events[-1].calls == 2 + 2 + 1
    step = [e for e in events if isinstance(e, Step)][-1]
    t, cond = trig_time(torch.tensor([step.t])), replace(sprint.text(request.texts()), guidance=torch.tensor([4.0]))
    s = torch.tensor(step.t)
    with torch.no_grad():
        assert torch.equal(step.x0, sprint.denoiser(step.x_t / ((1 - s) ** 2 + s**2).sqrt(), t, cond))


def test_schedules_convert_at_equal_signal_to_noise(teacher, sprint):
    """The flow denoiser asked through TrigFlow and back is itself."""
    g = torch.Generator().manual_seed(0)
    x, t = torch.randn(3, 16, 8, 8, generator=g), torch.tensor([0.2, 0.5, 0.9])
    cond = teacher.text(["a ball"] * 3)
    there = on_schedule(teacher.denoiser, sprint.denoiser.schedule)
    back = type("View", (), {"schedule": sprint.denoiser.schedule, "__call__": lambda _, *a: there(*a)})()
    again = on_schedule(back, Flow())
    with torch.no_grad():
        assert torch.allclose(again(x, t, cond), teacher.denoiser(x, t, cond), atol=1e-4)
    with pytest.raises(ValueError, match="valid: Flow and Trig"):
        on_schedule(teacher.denoiser, object())


def test_steps_tell_what_the_model_thinks(teacher):
    """x_t of the next step is a first-order step of the solver along the x0 that was told."""
    steps = [e for e in generate(teacher, ask("tiny-sana", steps=8)) if isinstance(e, Step)]
    assert [s.i for s in steps] == list(range(8)) and all(a.t > b.t for a, b in itertools.pairwise(steps))
    assert all(a.log_snr < b.log_snr for a, b in itertools.pairwise(steps))
    a, b = steps[0], steps[1]
    t, s = torch.tensor([a.t]), torch.tensor([b.t])
    assert torch.allclose(ddim(Flow(), a.x_t, a.x0, t, s), b.x_t, atol=5e-3)
    assert add_noise(Flow(), a.x0, a.x_t, t).shape == (1, 16, 8, 8)


def test_stopping_is_closing(sprint):
    calls = []
    hook = sprint.pipeline.transformer.register_forward_hook(lambda *_: calls.append(1))
    run = generate(sprint, ask(steps=4, num_images=2))
    next(run), next(run)
    run.close()
    hook.remove()
    assert len(calls) == 2
    assert len(pictures(generate(sprint, ask(num_images=2)))) == 2, "the next run is not disturbed"


def test_interleaved_runs_do_not_disturb_each_other(teacher):
    """Each run has its own scheduler state."""
    a = generate(teacher, ask("tiny-sana", steps=4))
    b = generate(teacher, ask("tiny-sana", steps=4, seed=8))
    mixed = [e for pair in zip(a, b, strict=True) for e in pair]
    same(pictures(mixed)[0], pictures(generate(teacher, ask("tiny-sana", steps=4)))[0])
    same(pictures(mixed)[1], pictures(generate(teacher, ask("tiny-sana", steps=4, seed=8)))[0])


def test_calls_and_times_are_counted(teacher, sprint):
    image = list(generate(teacher, ask("tiny-sana", steps=5)))[-1]
    assert (image.steps, image.calls) == (5, 10)
    assert image.latency_ms == pytest.approx(image.text_ms + image.denoise_ms + image.decode_ms + image.enlarge_ms)
    assert list(generate(teacher, ask("tiny-sana", steps=5, guidance=1.0)))[-1].calls == 5
    assert list(generate(sprint, ask(steps=2)))[-1].calls == 2


def test_short_padding_gives_what_full_padding_gives(sprint):
    """Text pads to the longest prompt; the pipeline to 32 tokens and masks."""
    tokens, mask = sprint.pipeline.encode_prompt("a red ball", max_sequence_length=32, device="cpu")
    short = sprint.text(["A red ball "])
    n = short.tokens.shape[1]
    assert n == 5 and mask[0, :n].all() and not mask[0, n:].any()
    assert torch.allclose(tokens[:, :n], short.tokens, atol=1e-5)


def test_prompts_longer_than_the_model_reads_are_cut(sprint):
    long = sprint.text(["ball " * 200])
    assert long.tokens.shape[1] == 32
    assert len(pictures(generate(sprint, ask(prompt="ball " * 200)))) == 1


@pytest.mark.gpu
def test_a_gpu_gives_the_picture_of_the_cpu(sprint):
    there = families.load(catalogue.get("tiny-sprint"), "cuda", torch.float32)
    a, b = pictures(generate(there, ask(steps=2)))[0], pictures(generate(sprint, ask(steps=2)))[0]
    assert np.abs(a - b).max() <= 3
    half = families.load(catalogue.get("tiny-sprint"), "cuda")
    assert half.pipeline.transformer.dtype in (torch.bfloat16, torch.float16)
    assert np.abs(pictures(generate(half, ask(steps=2)))[0] - b).mean() < 10


def test_command_line(tmp_path, capsys):
    """Four pictures and their grid; each file carries the request of its picture."""
    out = tmp_path / "new" / "out.png"
    code = main(
        ["a {red|blue} ball", "--model", "tiny-sprint", "--num-images", "4", "--seed", "5", "--json", "--out", str(out)]
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0 and all(t["text"] in ("a red ball", "a blue ball") and t["notes"] == [] for t in rows)
    assert [(t["seed"], t["steps"], t["calls"], t["model"]) for t in rows] == [
        (s, 1, 1, "tiny-sprint") for s in range(5, 9)
    ]
    assert [t["path"] for t in rows] == [str(out.with_name(f"out-{k}.png")) for k in range(4)]
    tiles = [np.asarray(PicturesOf.open(t["path"])) for t in rows]
    assert np.array_equal(np.asarray(PicturesOf.open(out)), np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]))
    assert read(Path(rows[2]["path"])).fields == ask(prompt="a {red|blue} ball", seed=7).to_dict()
    own = ["--model", "tiny-sprint", "--steps", "2", "--painters", "tiny-sana:0@1", "--out", str(tmp_path / "one.png")]
    assert main(["a ball", *own]) == 0
    assert read(tmp_path / "one.png").fields["painters"] == "tiny-sana:0@1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "one.png"]


def test_command_line_says_what_is_read(tmp_path, capsys):
    """An emoji gives the picture of its name, and the file keeps what was typed."""
    files = [tmp_path / f"{k}.png" for k in range(2)]
    for path, typed in zip(files, ("🍄 (red:2)", "mushroom (red:2)"), strict=True):
        assert main([typed, "--model", "tiny-sprint", "--json", "--out", str(path)]) == 0
    shown = capsys.readouterr()
    first, second = map(json.loads, shown.out.splitlines())
    weights = "Weights do nothing here: (red:2) is read as plain words."
    assert first["text"] == second["text"] == "mushroom (red:2)" and second["notes"] == [weights]
    assert first["notes"] == shown.err.splitlines()[:2] == ["🍄 is read as mushroom.", weights]
    assert np.array_equal(*(np.asarray(PicturesOf.open(path)) for path in files))
    assert read(files[0]).fields["prompt"] == "🍄 (red:2)"


def test_command_line_lists_the_catalogue(capsys):
    assert main(["--list", "--json"]) == 0
    rows = {r["id"]: r for r in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["tiny-sprint"]["reason"] is None and rows["tiny-sprint"]["size"] == 128
    assert rows["sana-sprint-0.6b"]["hub"] == "Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers"
    assert "tiny-dcae" not in rows and rows["sana-sprint-1.6b"]["quality"] == {}
    assert main(["--list"]) == 0
    assert "tiny-sana" in capsys.readouterr().out


@pytest.mark.parametrize(
    "args, sentence",
    [
        ([], "say what you want to see"),
        (["a ball", "--model", "nobody"], "unknown model 'nobody'; valid: "),
        (["a ball", "--model", "tiny-sprint", "--steps", "3"], "1, 2 or 4 steps"),
        (["a ball", "--model", "tiny-sprint", "--out", "x.jpg"], "must end in .png"),
        (["a ball", "--model", "tiny-sprint", "--device", "tpu"], "valid: auto, cpu"),
        (["a ball", "--model", "tiny-sprint", "--attention", "xformers", "--device", "cpu"], "CUDA only"),
    ],
)
def test_command_line_mistakes_are_one_sentence(args, sentence, capsys):
    assert main(args) == 2
    error = capsys.readouterr().err
    assert sentence in error and len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "n, size", [(1, (1, 1)), (2, (2, 1)), (4, (2, 2)), (5, (5, 1)), (6, (3, 2)), (12, (4, 3)), (16, (4, 4))]
)
def test_grids_have_no_empty_cells(n, size):
    tile = PicturesOf.new("RGB", (8, 4))
    assert grid([tile] * n).size == (8 * size[0], 4 * size[1])


def test_a_batch_is_decoded_in_one_call(sprint, monkeypatch):
    """Each picture within a grey level of itself alone; one that is lost leaves the others."""
    decoded = []
    plain = sprint.vae.decode
    monkeypatch.setattr(sprint.vae, "decode", lambda z, **more: decoded.append(len(z)) or plain(z, **more))
    request = ask(num_images=5)
    whole = [np.asarray(p, int) for p in pictures(generate(sprint, request))]
    assert decoded == [4, 1]
    for k, picture in enumerate(whole):
        assert np.abs(picture - np.asarray(pictures(generate(sprint, request.single(k)))[0], int)).max() <= 1
    monkeypatch.setattr(sprint.vae, "decode", lambda z, **more: (spoilt(plain(z, **more)[0]),))
    request, kept = ask(num_images=3), []
    with pytest.raises(ValueError, match=f"for seed {request.seeds()[1]}; try another"):
        for event in generate(sprint, request):
            if isinstance(event, Image):
                kept.append(event.index)
    assert kept == [0, 2]


def spoilt(pixels):
    pixels[1, :, 5, 5] = float("nan")
    return pixels
