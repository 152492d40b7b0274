"""`python -m jobs`: what a person and a script see. And the request of a training, which needs no torch."""

import json
import subprocess
import sys

import pytest

from core.settings import settings
from distill import declared
from distill.request import DistillRequest
from distill.trainer import defaults
from jobs import __main__ as cli
from jobs import kinds
from jobs.kinds import Start
from jobs.store import Store
from tests.small_disk import ROOT
from ui.distill.form import form

FIELDS = "id kind request owner priority parent state wish attempt stage step total error outputs".split()
TRAINING = ("--set", "method=sft", "--set", "dataset=mixture", "--set", "lr=1e-3", "--set", "train.steps=5")


@pytest.fixture(autouse=True)
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    return tmp_path


def run(capsys, *argv: str, status: int = 0):
    """What it prints as JSON."""
    assert cli.main([*argv, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_a_job_from_submission_to_deletion(capsys, studio):
    job = run(capsys, "submit", "distill", *TRAINING)
    assert set(FIELDS) <= set(job) and job["state"] == "queued"
    assert job["request"] == {
        "method": "sft",
        "base": None,
        "start": None,
        "dataset": "mixture",
        "skip_bad": False,
        "minutes": None,
        "seed": 0,
        "set": ["lr=1e-3", "train.steps=5"],
    }
    assert run(capsys, "list") == [job]
    assert run(capsys, "pause", job["id"])["state"] == "paused"
    assert run(capsys, "list", "--state", "queued") == []
    assert run(capsys, "resume", job["id"][:5])["state"] == "queued"
    assert run(capsys, "cancel", job["id"])["state"] == "cancelled"
    again = run(capsys, "rerun", job["id"], "--set", "lr=2e-3", "--set", "seed=7")
    assert again["parent"] == job["id"]
    assert (again["request"]["seed"], again["request"]["set"]) == (7, ["lr=2e-3", "train.steps=5"])
    assert run(capsys, "show", again["id"])["missing"] == []
    assert run(capsys, "delete", job["id"])["id"] == job["id"]
    assert run(capsys, "prune", "--days", "0")["jobs"] == 0
    assert [j["id"] for j in run(capsys, "list")] == [again["id"]]


def test_the_same_key_is_the_same_job(capsys):
    first, second = (run(capsys, "submit", "distill", *TRAINING, "--key", "k") for _ in range(2))
    assert first["id"] == second["id"]


@pytest.mark.parametrize(
    "argv, why",
    [
        (("submit", "painting"), "unknown kind 'painting'; valid: distill"),
        (("submit", "distill", "--set", "lr"), "--set takes key=value, not 'lr'"),
        (("submit", "distill", "--set", "learning=1"), "unknown setting 'learning' of sft; valid: lr, "),
        (("submit", "distill", "--set", "train.seed=1"), "unknown setting 'train.seed'"),
        (("submit", "distill", "--set", "lr=fast"), "lr='fast' must be a number"),
        (("submit", "distill", "--set", "lr=nan"), "lr='nan' must be a finite number"),
        (("submit", "distill", "--set", "seed=-1"), "seed must be 0 to 2147483647, not -1"),
        (("submit", "distill", "--set", "minutes=0"), "minutes must be 0.05 to 60000 minutes, not 0.0"),
        (("submit", "distill", "--set", "method=../x"), "unknown method '../x'; valid: "),
        (("submit", "distill", "--set", "dataset=/etc"), "unknown dataset '/etc'; valid: toys, emoji"),
        (("submit", "distill", "--set", "base=org/model"), "unknown base 'org/model'; valid: "),
        (("submit", "distill", "--set", "set=x"), "unknown field 'set' of distill"),
        (("submit", "distill", "--set", "dataset=mixture", "--priority", "99"), "priority must be -10 to 10, not 99"),
        (("show", "nothing"), "there is no job 'nothing'"),
        (("cancel", ""), "there is no job ''"),
    ],
)
def test_mistakes_are_one_sentence_that_names_what_is_valid(capsys, argv, why):
    assert why in run(capsys, *argv, status=2)["error"]
    assert cli.main(list(argv)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("jobs: ") and err.count("\n") == 1
    assert Store().jobs() == []


def test_what_people_read(capsys, studio):
    assert cli.main(["submit", "distill", *TRAINING]) == 0
    assert "no worker is there: start the app, or python -m jobs.worker" in capsys.readouterr().out
    store = Store()
    job = store.claim("boot/ns/1/1", "cpu")
    (store.run(job.id) / "result.txt").write_text("x")
    (store.run(job.id) / "log.txt").write_text("\n".join(f"line {n}" for n in range(99)))
    store.pause(job.id)
    assert cli.main(["list"]) == 0
    assert "running (pausing)" in capsys.readouterr().out
    store.done(job, [{"path": "result.txt", "bytes": 1}])
    assert cli.main(["show", job.id]) == 0
    page = capsys.readouterr().out
    assert "line 98" in page and "line 50" not in page and "missing" not in page


def test_a_result_that_somebody_removed_is_called_missing(capsys):
    """T-JOB-17."""
    store = Store()
    run(capsys, "submit", "distill", *TRAINING)
    job = store.claim("w", "cpu")
    store.done(job, [{"path": "result.txt", "bytes": 1}])
    shown = run(capsys, "show", job.id)
    assert (shown["state"], shown["missing"]) == ("done", ["result.txt"])
    assert cli.main(["show", job.id]) == 0
    assert "missing          result.txt" in capsys.readouterr().out


def test_the_command_itself(tmp_path):
    argv = [sys.executable, "-m", "jobs", "submit", "distill", *TRAINING, "--json", "--studio", str(tmp_path / "other")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert json.loads(done.stdout)["state"] == "queued"
    assert (tmp_path / "other" / "jobs.db").exists()


def test_neither_the_command_line_nor_the_worker_loads_torch():
    code = "import jobs.__main__, jobs.worker, sys; from distill.declared import declared, methods; "
    code += "[declared(m) for m in methods()]; print('torch' in sys.modules, 'gradio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False False\n"


class TestDistillRequest:
    @pytest.mark.parametrize("method", declared.methods())
    def test_what_a_method_declares_without_torch_is_what_it_is(self, method):
        """Every method's settings and the loop's, all explained, against those of the imported file."""
        module, known = declared.module(method), declared.declared(method)
        loop = settings(defaults(module), "train.")
        del loop["train.seed"]
        assert known.settings == settings(module.Config()) | loop
        assert known.about == module.ABOUT and all(s.option.help for s in known.settings.values())

    def test_json_round_trip_and_the_object_form(self):
        made = DistillRequest.from_dict({"method": "sft", "dataset": "mixture", "set": {"lr": 0.001, "train.steps": 9}})
        assert made.set == ("lr=0.001", "train.steps=9")
        assert DistillRequest.from_json(made.to_json()) == made

    @pytest.mark.parametrize(
        "fields, why",
        [
            ({"set": ["lr=1", "lr=2"]}, "lr is set twice"),
            (
                {"base": "toybox-hyper"},
                "toybox-hyper is an adapter, which can't be a training base; use its base toybox-sd",
            ),
            ({"base": "toybox-msd4"}, "toybox-msd4 is several students"),
            ({"set": ["lr"]}, "a setting is key=value, not 'lr'"),
            ({"set": ["train.log_every=0"]}, "train.log_every must be at least 1, not 0"),
            ({"set": [f"x{n}=1" for n in range(61)]}, "61 settings are too many; at most 60"),
            ({"set": "lr=1"}, "set must be a list"),
            ({"set": ["lr=1\0"]}, "NUL"),
            ({"command": "rm"}, "unknown field 'command'; valid: method"),
            ({"minutes": float("inf")}, "minutes must be a number"),
            ({"seed": True}, "seed must be a whole number"),
            ({"method": ["sft"]}, "method must be text"),
        ],
    )
    def test_what_is_wrong_is_said(self, fields, why):
        with pytest.raises(ValueError, match=why):
            DistillRequest.from_dict(fields)

    def test_its_command_is_what_a_person_would_type(self, studio):
        (studio / "datasets" / "my cats").mkdir(parents=True)
        (studio / "datasets" / "__MACOSX").mkdir()
        made = kinds.request("distill", {"method": "oracle", "dataset": "my cats", "lr": "1e-3", "minutes": "10"}, {})
        start = Start(studio / "runs" / "abc", ran=120.0)
        command = [sys.executable, "-m", "distill.train", "oracle", "--run", "abc", "--dataset"]
        command += [str(studio / "datasets" / "my cats"), "--seed", "0", "--set", "lr=1e-3"]
        assert kinds.distill(made, start) == [*command, "--minutes", "8.000"]
        start.run.mkdir(parents=True)
        (start.run / "run.json").write_text("{}")
        assert "--resume" in kinds.distill(made, start)
        lenient = kinds.request("distill", {"method": "oracle", "dataset": "my cats", "skip_bad": "true"}, {})
        assert "--skip-bad" in kinds.distill(lenient, start) and "--skip-bad" not in kinds.distill(made, start)
        with pytest.raises(ValueError, match=r"valid: toys.*, my cats$"):
            kinds.request("distill", {"dataset": "__MACOSX"}, {})

    def test_the_form_offers_to_leave_bad_pictures_out(self, studio):
        [field] = [f for f in form("distill", {})["fields"] if f["name"] == "skip_bad"]
        assert field["usual"] == "false" and [c["value"] for c in field["choices"]] == ["false", "true"]
