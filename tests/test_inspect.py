"""The grid behind the page Inspect, on real tiny models: it streams, gives way, stops, and is drawn again."""

import sys
import time

import pytest

from models import stored, trajectory
from models.picture import png_bytes
from models.regrow import step_of
from models.request import ImageRequest
from tests import tiny
from tests.branched import retold
from ui.desk import Desk
from ui.inspect import looking, tab
from ui.pictures import carried
from ui.place import Place

STUDIO = [tiny.build]
PAGE = {"tab": "a" * 32}
SPRINT, SANA = {"id": "tiny-sprint", "steps": 4}, {"id": "tiny-sana", "steps": 100}


@pytest.fixture
def desk(studio):
    desk = Desk(Place())
    yield desk
    tab.stop_page(PAGE)
    desk.close()


def look(desk, *models, **more):
    """The first answer, and the grid."""
    answer = tab.look(desk, PAGE | {"prompt": "a ball", "models": list(models), "seed": 1, "seeds": 4} | more)
    return answer, tab.grid(PAGE)


def followed(desk, answer):
    """All cells by place, as a page reads them; the last answer."""
    cells, until = {}, time.monotonic() + 60
    while time.monotonic() < until:
        cells |= {(c["lane"], c["picture"], c["step"]): c["src"] for c in answer["cells"]}
        if not answer["working"]:
            return cells, answer
        answer = tab.look_more(desk, PAGE | {"after": answer["after"]})
    raise AssertionError("the grid does not come to its end")


def begun(desk, answer):
    """The answer that has the first cells."""
    until = time.monotonic() + 60
    while not answer["cells"]:
        assert time.monotonic() < until
        answer = tab.look_more(desk, PAGE | {"after": 0})
    return answer


def taken(grid) -> int:
    return sum(len(run.steps) for run in grid.runs)


def idle(grid) -> None:
    """Waits until its thread is gone."""
    with grid._news:
        assert grid._news.wait_for(lambda: not grid._working, 60)


def test_cells_stream_and_the_first_is_there_before_the_second_step(desk, monkeypatch):
    events, steps, say = [], trajectory.look, looking.Looking._say

    def stepping(lanes, crew):
        for seen in steps(lanes, crew):
            events.append("step")
            yield seen

    monkeypatch.setattr(trajectory, "look", stepping)
    monkeypatch.setattr(looking.Looking, "_say", lambda grid, cell: events.append("cell") or say(grid, cell))
    answer = begun(desk, look(desk, SANA)[0])
    assert answer["working"] and len(answer["cells"]) < 400
    cells, answer = followed(desk, answer)
    assert len(cells) == 400 and answer["after"] == 400 and answer["failure"] is None
    assert events == ["step", *["cell"] * 4] * 100


@pytest.mark.parametrize("second", [SPRINT, SANA | {"steps": 5}], ids=["another network", "the same network"])
def test_a_second_look_waits_for_one_step_of_the_first_and_no_more(desk, second):
    answer, first = look(desk, SANA, SPRINT)
    answer = begun(desk, answer)
    answer, grid = look(desk, second)
    steps = taken(first)
    assert grid is not first
    assert len(followed(desk, answer)[0]) == 4 * second["steps"]
    idle(first)
    assert taken(first) <= steps + 1 < 100 and len(first.runs) == 1


def test_stop_stops_after_a_step_and_what_is_there_stays(desk):
    answer, grid = look(desk, SANA, SPRINT)
    answer = begun(desk, answer)
    tab.look_stop(desk, PAGE)
    steps = taken(grid)
    cells, answer = followed(desk, tab.look_more(desk, PAGE | {"after": 0}))
    assert taken(grid) <= steps + 1 < 100 and len(cells) == 4 * taken(grid) and answer["failure"] is None


def test_a_grid_that_no_page_asks_after_stops(desk, monkeypatch):
    monkeypatch.setattr(looking, "PATIENCE", 0.0)
    _, grid = look(desk, SANA)
    idle(grid)
    assert taken(grid) < 100 and grid.error == "this page did not ask for more, so its grid was stopped; press Look"
    monkeypatch.undo()
    grid.show("noise")
    _, answer = followed(desk, tab.look_more(desk, PAGE | {"after": 0}))
    assert answer["failure"] is None, "it is asked after again"


def test_another_view_is_news_of_every_cell_and_an_older_one_is_dropped(desk):
    noise, _ = followed(desk, look(desk, SPRINT, SANA | {"steps": 20}, view="noise")[0])
    cells, answer = followed(desk, look(desk, SPRINT, SANA | {"steps": 20})[0])
    assert cells.keys() == noise.keys() and not set(cells.values()) & set(noise.values())
    grid, total = tab.grid(PAGE), len(cells)
    for view in ("x_t", "change", "conditional"):
        grid.show(view)
    answer = tab.look_view(desk, PAGE | {"view": "noise", "after": answer["after"]})
    redrawn, answer = followed(desk, answer)
    assert redrawn == noise and answer["after"] < 3 * total, "what nobody waits for was not drawn to its end"


def test_a_page_has_one_grid_however_often_it_looks_at_once(desk):
    """Of grids that are begun at the same time all but one are stopped."""
    made, honest = [], looking.Looking
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tab, "Looking", lambda *args: made.append(honest(*args)) or time.sleep(0.05) or made[-1])
        threads = [looking.threading.Thread(target=look, args=(desk, SANA)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    kept = tab.grid(PAGE)
    for grid in made:
        if grid is not kept:
            idle(grid)
            assert taken(grid) < 100
    assert len(made) == 4


def test_mistakes_are_one_sentence(desk):
    for fields, sentence in (
        ({"view": "x1"}, "unknown view 'x1'; valid: x0, x_t"),
        ({"models": []}, "choose at least one model"),
        ({"field": "steps", "values": [1]}, "'steps' can't be varied; valid: guidance"),
        ({"seeds": 9}, "seeds must be a whole number from 1 to 8"),
    ):
        with pytest.raises(ValueError, match=sentence):
            look(desk, **({"models": [SPRINT]} | fields)) if "models" in fields else look(desk, SPRINT, **fields)


def test_without_av_the_form_says_why_there_is_no_mp4_and_none_is_written(desk, monkeypatch):
    followed(desk, look(desk, SPRINT)[0])
    assert tab.looked_at(desk, {})["missing"] == {}
    assert tab.look_export(desk, PAGE | {"kind": "mp4"})["src"].startswith("data:video/mp4;base64,")
    monkeypatch.setitem(sys.modules, "av", None)
    reason = "an MP4 needs the package av, which is not installed: pip install -r requirements.txt"
    assert tab.looked_at(desk, {})["missing"] == {"mp4": reason}
    with pytest.raises(ValueError, match=reason):
        tab.look_export(desk, PAGE | {"kind": "mp4"})


def test_a_branched_picture_from_elsewhere_is_painted_again_and_it_is_said_how_exactly(desk, tmp_path):
    crew, path = desk.turns.engine.crew, tmp_path / "branch.png"
    root = ImageRequest("a red ball", model="tiny-sprint", steps=4, seed=3)
    branch = stored.onward(stored.branch(step_of(root, 1, crew), root, 0), {"prompt": "a blue ball"})
    [shown] = [image.picture for image in desk.turns.paint(branch, "page", 1)]
    path.write_bytes(png_bytes(shown, branch))
    assert carried(desk, str(path)).notes == (), "its step is here"
    stored.file(branch.start).unlink()
    restored = carried(desk, str(path))
    assert restored.fields == branch.to_dict()
    assert restored.notes[-1] == "The step that it starts from was painted again, bit for bit."
    stored.file(branch.start).unlink()
    path.write_bytes(retold(path.read_bytes(), seed=99))
    restored = carried(desk, str(path))
    assert restored.notes[-1] == "The step that it starts from was painted again, and is not quite what it was."
    assert restored.fields["start"] != branch.start
