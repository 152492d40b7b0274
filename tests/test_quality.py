"""The quality benchmark on tiny random parts: what is asked is true, scores mean what they say, rows hold."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from benchmarks import keystroke, latency, quality, questions, report, scoring
from benchmarks.painting import paint
from benchmarks.quality_table import headline, tables
from benchmarks.questions import Question
from distill.data import cache, emoji_fetch
from distill.data.toys import Toys as Scenes
from distill.data.words import Words
from distill.methods import oracle
from evals import labels
from evals.judges import Judge
from models import catalogue, families
from models.generate import Image as Painted
from models.generate import generate
from models.palette import BACKGROUNDS
from models.request import ImageRequest
from tests import tiny

ANIMALS = ["fox", "owl", "cat", "bee", "bat", "cow", "dog", "hen"]


def emoji_folder(home) -> None:
    """The fetched layout: a disc of its own colour for each name."""
    (home / "fluent").mkdir(parents=True)
    rows = []
    for i, name in enumerate([*ANIMALS, "cook"]):
        picture = Image.new("RGBA", (64, 64))
        ImageDraw.Draw(picture).ellipse((8, 8, 56, 50), fill=(30 * i, 255 - 30 * i, 90, 255))
        picture.save(home / "fluent" / f"{i}.webp", lossless=True)
        drawing = {"codepoint": str(i), "tone": None, "noto": False}
        row = {"name": name, "aliases": [], "keywords": ["animal"], "pictures": [drawing]}
        rows.append(row | {"group": "nature" if name in ANIMALS else "people", "subgroup": "person-role"})
    (home / "index.json").write_text(json.dumps({"packages": emoji_fetch.current(), "emoji": rows}))


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """Tiny models that claim to know toys and emoji, judges that have learnt nothing, eight emoji."""
    studio = tiny.build_sd(tiny.build(tmp_path_factory.mktemp("studio")))
    emoji_folder(studio / "cache" / "emoji")
    scenes = Scenes(0, "train", 3000)
    heads = labels.classes((scenes.scene(i).attributes() for i in range(3000)), oracle.TOYS)
    torch.manual_seed(0)
    for id, judge in {
        "judge-a": Judge("a", heads),
        "judge-b": Judge("b", heads),
        "judge-emoji": Judge("emoji", {"emoji": ANIMALS}),
    }.items():
        judge.save(studio / "models" / id)
        tiny.manifest(id, studio / "models" / id, kind="judge", family="judge")
    for id in ("tiny-sana", "tiny-sprint"):
        folder = studio / "models" / id
        own = json.loads((folder / "manifest.json").read_text()) | {"dataset": "toys+emoji"}
        (folder / "manifest.json").write_text(json.dumps(own))
    return studio


@pytest.fixture
def home(studio, tmp_path, monkeypatch):
    """The studio in use; results and README are this test's own."""
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(studio))
    monkeypatch.setattr(catalogue, "assets", lambda: tmp_path)  # the box has judges of the same names
    monkeypatch.setattr(quality, "ALIKE", 4)
    monkeypatch.setattr(quality, "KNOWN", 24)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "PAGES", (tmp_path / "README.md",))
    (tmp_path / "README.md").write_text("# Figures\n<!-- quality:start -->\n<!-- quality:end -->\nend\n")
    return tmp_path


@pytest.mark.parametrize(
    ("id", "steps", "guidance"), [("tiny-sana", 3, 3.0), ("tiny-sana", 2, 1.0), ("tiny-sprint", 2, 4.0)]
)
def test_painting_many_prompts_gives_the_pictures_that_generate_gives(home, id, steps, guidance):
    parts = families.load(catalogue.get(id), dtype=torch.float32)
    prompts, seeds = ["a red ball", "a cube on a blue background, seen from above"], [5, 11]
    many = paint(parts, prompts, seeds, steps, guidance)
    for prompt, seed, picture in zip(prompts, seeds, many, strict=True):
        request = ImageRequest(prompt, model=id, steps=steps, guidance=guidance, seed=seed)
        one = next(e for e in generate(parts, request) if isinstance(e, Painted)).picture
        assert np.abs(np.asarray(one, int) - picture.permute(1, 2, 0).numpy()).max() <= 1
    assert (many[0].int() - many[1].int()).abs().float().mean() > 1


def test_what_is_expected_is_said_and_true():
    source, asked_scenes = Scenes(questions.ASKED, "held_out", 120), questions.toys(120)
    assert asked_scenes[:20] == questions.toys(20)
    assert {q.group for q in asked_scenes} == {"one", "several", "relation"}
    for i, q in enumerate(asked_scenes):
        scene = source.scene(i)
        assert scene.split == "held_out"
        truth = labels.legible(scene.attributes())
        assert all(str(truth[head]) == value for head, value in q.expected.items())
        assert {"kind", "colour"} <= q.expected.keys()
        assert ("kind2" in q.expected) == ("colour2" in q.expected) == (q.group == "relation")
        assert "view" not in q.expected or truth["faced"] or q.expected["view"] == "overhead"
        assert q.expected.get("pattern") != "plain" or "plain" in q.prompt
        if "background" not in q.expected:
            assert "background" not in q.prompt
    named = [head for q in asked_scenes for head in q.expected]
    assert min(named.count(head) for head in ("pattern", "size", "background", "view")) > 10


def test_alike_pictures_share_what_their_prompt_names(monkeypatch):
    shown = []
    monkeypatch.setattr(questions, "render", lambda scene: (shown.append(scene), np.zeros((2, 2, 3), np.uint8))[1])
    prompts, pictures = questions.conditions(3, 5)
    assert len(prompts) == 3 and pictures.shape == (15, 3, 2, 2)
    for i, prompt in enumerate(prompts):
        alike = shown[5 * i : 5 * i + 5]
        things = {(s.things[0].kind, s.things[0].colour) for s in alike}
        assert len(things) == 1 and len({s.background for s in alike}) > 1
        assert questions.prompt(alike[0], ["colour"]) == prompt


ONE = Question("a red ball, from above", {"kind": "ball", "colour": "red", "count": "1", "view": "overhead"}, "one")
TWO = Question(
    "a red ball left of a blue cube",
    {"kind": "ball", "colour": "red", "kind2": "cube", "colour2": "blue", "relation": "left of", "count": "2"},
    "relation",
)
MANY = Question("two mugs on blue", {"kind": "mug", "colour": "red", "count": "2", "background": "blue"}, "several")


def test_marks_are_given_for_what_a_prompt_tests():
    assert scoring.marks(ONE, {**ONE.expected, "colour": "blue"}) == {"kind": True, "colour": False, "view": True}
    assert scoring.marks(MANY, {**MANY.expected, "kind": "hat"}) == {"count": True, "background": True}
    assert scoring.marks(MANY, {**MANY.expected, "count": "3", "background": "grey"}) == {
        "count": False,
        "background": False,
    }
    assert scoring.marks(TWO, TWO.expected) == {"relation": True, "binding": True}
    swapped = {"kind": "cube", "colour": "blue", "kind2": "ball", "colour2": "red"}
    assert scoring.marks(TWO, {**TWO.expected, **swapped}) == {"relation": False, "binding": True}
    mixed = {"colour": "blue", "colour2": "red"}
    assert scoring.marks(TWO, {**TWO.expected, **mixed}) == {"relation": True, "binding": False}
    assert scoring.marks(TWO, {**TWO.expected, "relation": "on"}) == {"relation": False, "binding": True}


def test_shares_and_their_floor():
    questions_of_toys = [Question("", {"kind": kind, "colour": "red"}, "one") for kind in "abcdefghij" * 10]
    answers = [q.expected for q in questions_of_toys]
    assert scoring.shares(questions_of_toys, answers) == {"kind": (1.0, 100), "colour": (1.0, 100)}
    floor = scoring.shuffled(questions_of_toys, answers)
    assert 0.02 < floor["kind"][0] < 0.25 and floor["colour"][0] == 1.0  # everything is red: habit scores in full
    assert scoring.shuffled([ONE, MANY], [ONE.expected, MANY.expected]) == scoring.shares(
        [ONE, MANY], [ONE.expected, MANY.expected]
    )


def test_backgrounds_that_nobody_asked_for_are_counted():
    free, stated = [replace(MANY, expected={}) for _ in range(4)], [MANY] * 4
    seen = [{"background": c} for c in ("black", "black", "red", "grey")]
    assert scoring.backgrounds(free + stated, [{"background": "black"}] * 4 + seen) == 1
    assert scoring.backgrounds(free + stated, seen + seen) == pytest.approx(8**0.5)  # 1/2, 1/4, 1/4: 1.5 bits
    assert scoring.backgrounds(free, [{"background": c} for c in "abcd"]) == pytest.approx(4)


def test_real_pictures_score_their_own_ceiling(home):
    """A model that painted the very scenes: every share is the ceiling, every distance that of real pictures."""
    toys = quality.Toys.draw(quality.judge_named("judge-b"), quality.Sizes(12))
    real = questions.real(12, questions.ASKED)
    alike = questions.conditions(2, quality.ALIKE)[1]
    figures = quality.toy_figures(toys, lambda prompts, seed: real if len(prompts) == 12 else alike, [0])
    metrics = {f.metric for f in figures}
    assert metrics >= {"kind", "colour", "frechet", "kernel", "recall", "vendi", "backgrounds", "nearest"}
    for f in figures:
        assert f.values == [pytest.approx(f.ceiling)], f.metric
    by_metric = {f.metric: f for f in figures}
    assert by_metric["frechet"].ceiling > 0 and by_metric["vendi"].floor == 1
    flat = np.array([*BACKGROUNDS.values(), *list(BACKGROUNDS.values())[:4]], np.uint8)[:, :, None, None]
    features = toys.judge.read(torch.from_numpy(np.broadcast_to(flat, (12, 3, 128, 128)).copy()))[0]
    for metric, away in scoring.distances(toys.reference, features, toys.training).items():
        assert by_metric[metric].floor == pytest.approx(away, rel=1e-3, abs=1e-6), "of backgrounds alone"


def test_the_whole_training_set_is_read_shard_by_shard(home, monkeypatch):
    monkeypatch.setattr(cache, "SHARD", 12)
    shards = list(questions.trained("toys", 30))
    assert [len(s) for s in shards] == [12, 12, 6] and shards[0].shape[1:] == (3, 128, 128)
    alone = Scenes(0, "train", 30)[29].picture
    assert torch.equal(shards[2][-1], torch.from_numpy(alone).permute(2, 0, 1))
    assert sum(map(len, questions.trained("emoji", 0))) == 12 * len(ANIMALS)


def test_people_are_asked_for_where_the_recogniser_knows_them(home):
    people, pictures = questions.people(6, {"cook", "fox"})
    assert pictures.shape == (6, 3, 128, 128) and {q.group for q in people} == {"people"}
    assert all(q.expected == {"emoji": "cook"} and ("cook" in q.prompt or "chef" in q.prompt) for q in people)
    assert scoring.marks(people[0], {"emoji": "cook"}) == {"people": True}
    assert scoring.marks(people[0], {"emoji": "fox"}) == {"people": False}
    assert questions.people(6, ANIMALS)[0] == []


def test_each_of_two_emoji_is_read_where_it_belongs(home):
    pairs, pictures, places = questions.pairs(8, ANIMALS)
    alone = {e.row["name"]: e.drawings[0].path for e in Words().emoji}
    for which, squares in zip(("first", "second"), questions.cells(pictures, places), strict=True):
        for question, square in zip(pairs, squares, strict=True):
            tint = square[:, 64, 64].tolist()
            with Image.open(alone[question.expected[which]]) as drawing:
                assert tint == pytest.approx(drawing.convert("RGB").getpixel((32, 29)), abs=3)
    right = pairs[0].expected
    turned = {"first": right["second"], "second": right["first"]}
    assert scoring.marks(pairs[0], right) == {"pair": True} and scoring.marks(pairs[0], turned) == {"pair": False}


def test_a_model_of_words_and_pairs_is_asked_for_both(home):
    judge = quality.judge_named("judge-emoji")
    pairs, pictures, _ = questions.pairs(4, ANIMALS)
    figures = quality.word_figures(judge, quality.Sizes(8), lambda prompts, seed: pictures[: len(prompts)], [0, 1])
    assert [(f.metric, f.n, f.values) for f in figures] == [("pair", len(pairs), [figures[0].ceiling] * 2)]
    assert quality.knows("toys+words+pairs") == (True, True, True) and quality.knows("mini") == (True, False, False)
    assert quality.knows("toys+emoji") == (True, True, False) and quality.knows("my/toys/of/words") == (False,) * 3


def test_a_checkpoint_is_chosen_by_another_judge_on_other_captions_and_nothing_is_written(home, monkeypatch, capsys):
    read, honest, path = [], quality.judge_named, home / "results" / "quality.json"
    monkeypatch.setattr(quality, "judge_named", lambda id: read.append(id) or honest(id))
    before = path.read_bytes() if path.exists() else None
    argv = ["--model", "tiny-sprint", "--steps", "1", "--n", "12", "--seeds", "0", "--choose"]
    assert quality.main(argv) == 0 and read == ["judge-a"] and "tiny-sprint" in capsys.readouterr().out
    assert (path.read_bytes() if path.exists() else None) == before
    reported, chosen = ({q.prompt for q in questions.toys(12, seed=s)} for s in (questions.ASKED, questions.CHOOSING))
    assert len(chosen) == 12 and not reported & chosen


def test_a_run_writes_rows_and_a_second_run_replaces_them(home, capsys):
    assert quality.main(["--model", "tiny-sprint", "--steps", "1", "--n", "12", "--seeds", "0", "1"]) == 0
    rows = report.read(home / "results" / "quality.json")
    by_metric = {r["metric"]: r for r in rows}
    assert len(by_metric) == len(rows)
    assert {"kind", "colour", "frechet", "vendi", "nearest", "emoji", "nearest_emoji"} <= by_metric.keys()
    assert by_metric["frechet"]["n"] == 12 and by_metric["emoji"]["n"] == 6
    assert all(r["teacher"] is None for r in rows)
    painted = [r for r in rows if r["metric"] not in ("ms", "memory")]
    assert all(r["seeds"] == 2 and r["sd"] is not None and r["floor"] is not None for r in painted)
    assert by_metric["ms"]["value"] > 0 and by_metric["ms"]["n"] == quality.ROUNDS
    assert "memory" not in by_metric or 0.1 < by_metric["memory"]["value"] < 100
    assert "tiny-sprint" in capsys.readouterr().out
    table = (home / "README.md").read_text()
    assert table.startswith("# Figures\n<!-- quality:start -->\nRight, in per cent") and table.endswith("end\n")
    assert (
        table
        == "# Figures\n<!-- quality:start -->\n"
        + (home / "results/quality.md").read_text()
        + "<!-- quality:end -->\nend\n"
    )
    report.write(home / "results" / "quality.json", [r | {"value": 7.0} for r in rows])
    assert (
        quality.main(
            ["--model", "tiny-sprint", "--steps", "1", "--n", "12", "--seeds", "0", "1", "--json", "--manifest"]
        )
        == 0
    )
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == report.read(home / "results" / "quality.json")
    noted = catalogue.get("tiny-sprint").manifest
    assert noted.quality == {"1": {r["metric"]: r["value"] for r in printed}}
    again = [r for r in printed if r["metric"] not in ("ms", "memory")]
    assert again == painted, "the same seeds paint the same pictures"
    report.write(home / "results" / "quality.json", [r | {"value": 0.0} for r in printed])
    assert quality.main(["--model", "tiny-sprint", "--steps", "1", "--cost"]) == 0
    after = {r["metric"]: r["value"] for r in report.read(home / "results" / "quality.json")}
    assert after.pop("ms") > 0 and (after.pop("memory", 1) > 0) and set(after.values()) == {0.0}


def test_a_teacher_s_figures_stand_beside_its_student_s(home):
    student = {"model": "tiny-sprint", "steps": 1, "guidance": 3.5, "metric": "kind", "value": 0.5, "teacher": None}
    teacher = student | {"model": "tiny-sana", "steps": 20, "guidance": 3.0, "value": 0.8}
    other = teacher | {"steps": 3, "value": 0.1}
    gone = student | {"model": "gone", "teacher": 0.7}
    compared = quality.with_teachers([student, other, teacher, gone])
    assert [r["teacher"] for r in compared] == [0.8, None, None, 0.7]


def row(metric, value, teacher=None, **more):
    place = {"model": "tiny-sprint", "kind": "model", "steps": 1, "guidance": 3.5, "metric": metric, "value": value}
    return place | {"sd": None, "ceiling": None, "floor": None, "teacher": teacher, "n": 12, "seeds": 1} | more


def test_tables_show_students_beside_their_teachers_and_what_they_cost(home):
    text = tables([row("kind", 0.6, 0.8), row("vendi", 3.0, 2.0), row("recall", 0.3, 0.5), row("ms", 30.0, 600.0)])
    assert "| tiny-sprint | 1 | 3.5 | tiny-sana | 75 | 60 | 150 | 5 |" in text
    assert "| model | steps | guidance | recall | vendi | ms | parameters, M |" in text and "recall: it" not in text
    old = tables([row("kind", 0.6), row("recall", 0.3, None)])
    assert "| tiny-sprint | 1 | 3.5 | 0.3 | 0.000001 |" in old and "teacher" not in old, "rows without the new metrics"
    assert "| *backgrounds alone* | – | – | – | – |" in old
    adapter = tables([row("recall", 0.3, model="tiny-hyper", kind="lora", floor=0.0)])
    assert "| tiny-hyper | 1 | 3.5 | 0.3 | + 0.000001 |" in adapter and "| *backgrounds alone* | – | – | 0 |" in adapter


def test_a_student_that_lost_the_variety_is_told_in_words(home):
    text = tables([row("recall", 0.24, 0.5), row("recall", 0.29, 0.5, steps=2), row("recall", 0.3, 0.5, steps=4)])
    assert text.count("of its teacher's recall") == 2
    assert "tiny-sprint at 1 step keeps 48 % of its teacher's recall: it paints less of the variety." in text
    assert "tiny-sprint at 2 steps keeps 58 %" in text


def test_autoencoders_and_judges_are_measured_too(home):
    for id in ("tiny-dcae", "tiny-kl"):
        assert quality.main(["--model", id, "--n", "12"]) == 0
    assert quality.main(["--model", "judge-b", "--n", "12"]) == 0
    assert quality.main(["--model", "judge-emoji", "--n", "12"]) == 0
    rows = report.read(home / "results" / "quality.json")
    for id in ("tiny-dcae", "tiny-kl"):
        coder = {r["metric"]: r for r in rows if r["model"] == id}
        assert 0 < coder["psnr_toys"]["value"] < 30 and 0 < coder["psnr_emoji"]["value"] < 30 and "kind" in coder
        toys = questions.real(12, questions.ASKED).float() / 127.5 - 1
        error = (toys - toys.mean((2, 3), keepdim=True)).square().mean((1, 2, 3))
        assert coder["psnr_toys"]["floor"] == pytest.approx(float((10 * (4 / error).log10()).mean()), abs=0.01)
    assert {r["metric"] for r in rows if r["model"] == "judge-b"} == set(quality.judge_named("judge-b").classes)
    assert [r["metric"] for r in rows if r["model"] == "judge-emoji"] == ["emoji"]
    assert "toys, dB" in (home / "results" / "quality.md").read_text()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "nobody"], "unknown model 'nobody'; valid: "),
        (["--model", "tiny-sprint", "--steps", "3"], "tiny-sprint takes 1, 2 or 4 steps, not 3"),
        (["--model", "tiny-sprint", "--guidance", "7"], "guidance of tiny-sprint must be 2 to 5, not 7"),
        (["--model", "tiny-sprint", "--n", "3"], "--n must be at least 12, not 3"),
        (["--model", "judge-b", "--cost"], "take a model that paints, and judge-b is of kind judge"),
        (["--model", "tiny-dcae", "--choose"], "take a model that paints, and tiny-dcae is of kind autoencoder"),
    ],
)
def test_a_mistake_is_one_sentence(home, capsys, args, message):
    assert quality.main(args) == 2
    assert message in capsys.readouterr().err
    assert not (home / "results").exists()


def test_report_numbers_tables_and_places(tmp_path):
    shown = [report.number(v) for v in (None, "x", 1024, 0.97, 0.00001234, 12345.6, 3.0, -0.5, 0.0, 120.0)]
    assert shown == ["–", "x", "1,024", "0.97", "0.0000123", "12,346", "3", "-0.5", "0", "120"]
    table = report.markdown([{"a": "x", "b": 1}, {"a": "y", "b": None}], ["a", "b"], ["name", "size"])
    assert table == "| name | size |\n| --- | ---: |\n| x | 1 |\n| y | – |\n"
    assert (
        report.insert("p <!-- t:start --> old <!-- t:end --> q", "t", "new\n")
        == "p <!-- t:start -->\nnew\n<!-- t:end --> q"
    )
    with pytest.raises(ValueError, match="<!-- t:start --> and then <!-- t:end --> must stand"):
        report.insert("<!-- t:start -->", "t", "new\n")
    old = [{"k": 1, "v": 1}, {"k": 2, "v": 2}]
    new = [{"k": 2, "v": 9}, {"k": 3, "v": 3}]
    path = tmp_path / "deep" / "rows.json"
    report.write(path, old)
    assert (
        report.record(path, new, ["k"]) == [{"k": 1, "v": 1}, {"k": 2, "v": 9}, {"k": 3, "v": 3}] == report.read(path)
    )
    assert path.read_text().count("\n") == 5
    report.write(path, [])
    assert report.read(path) == [] == report.read(tmp_path / "none.json")


def test_each_part_is_timed_from_its_own_beginning(tmp_path, monkeypatch, capsys):
    """Two parts of one name, such as two sets of prompts of one seed, are two parts."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    say = quality.Progress(tmp_path)
    for at, done in ((100.0, 0), (104.0, 8), (200.0, 0), (202.0, 8)):
        now[0] = at
        say("painting", done, 16)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("of 16")[2] for line in lines] == ["", ", 2.0 pictures/s", "", ", 4.0 pictures/s"]
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [e.get("seconds_left") for e in events] == [None, 4.0, None, 2.0]


def test_the_tables_in_the_repository_are_those_of_its_rows():
    made = {"quality": tables, "headline": headline, "latency": latency.table, "keystroke": keystroke.table}
    for name, write in made.items():
        table = (report.RESULTS / f"{name}.md").read_text(encoding="utf-8")
        rows = report.read(report.RESULTS / f"{'quality' if name == 'headline' else name}.json")
        page = report.page(name)
        assert table == write(rows) and page is not None, name
        text = page.read_text(encoding="utf-8")
        assert text == report.insert(text, name, table), name
