"""Sliders and LoRAs on Create in a real browser: dragged, in the picture, restored; a LoRA file that is dropped in."""

import base64
import re

import pytest
import torch
from playwright.sync_api import expect

from models import catalogue, families, lora_files, picture
from models.lora_files import Pair

pytestmark = pytest.mark.browser
STUDENT = "?prompt=a+red+ball&model=tiny-sprint&seed=7&num_images=1&steps=2&enlarge=1"


def settled(v, field, value):
    v.page.wait_for_function("([field, value]) => still.request[field] === value", arg=[field, value])
    v.page.wait_for_function(
        "still.painter.same(still.painter.wall.request, still.request)"
        " && still.painter.wall.complete && !still.painter.busy"
    )


def give(v, file):
    with v.page.expect_file_chooser() as chooser:
        v.page.get_by_role("button", name="Add a LoRA file…").click()
    chooser.value.set_files(file)


@pytest.fixture
def file(site, tmp_path):
    """A LoRA for tiny-sprint, in kohya's layout."""
    network, g = families.load(catalogue.get("tiny-sprint")).denoiser.network, torch.Generator().manual_seed(0)
    pairs = {}
    for name, layer in lora_files.places(network).items():
        if name.endswith("to_q"):
            out, inner = lora_files.size(layer)
            pairs[name] = Pair(torch.randn(2, inner, generator=g), torch.randn(out, 2, generator=g))
    lora_files.write(pairs, tmp_path / "My Style.safetensors", "kohya")
    return tmp_path / "My Style.safetensors"


def test_a_slider_that_is_dragged_changes_the_picture_and_comes_back_with_it(visit):
    v = visit(STUDENT)
    (before,), knob = v.sources(), v.page.locator("#sliders-size")
    expect(knob).to_have_value("0")
    knob.fill("2")
    settled(v, "sliders", "size:2")
    (moved,) = v.sources()
    assert moved != before
    knob.fill("0")
    settled(v, "sliders", "")
    assert v.sources() == [before]
    v.page.locator("#slider-words").fill("plain striped")
    v.page.get_by_role("button", name="Slide between two words").click()
    v.page.locator("#sliders-plain-striped").fill("-1.5")
    settled(v, "sliders", "plain/striped:-1.5")
    v.page.locator("#slider-phase").select_option("structure")
    settled(v, "sliders", "plain/striped:-1.5@structure")
    v.page.wait_for_function("location.search.includes('sliders=plain')")
    (last,) = v.sources()
    v.page.reload()
    v.painted()
    assert v.sources() == [last] and last != before
    expect(v.page.locator("#sliders-plain-striped")).to_have_value("-1.5")
    v.page.locator("#model").select_option("tiny-sana")
    v.page.wait_for_function("still.request.model === 'tiny-sana' && still.model.id === 'tiny-sana'")
    settled(v, "sliders", "plain/striped:-1.5@structure")


def test_a_lora_file_is_brought_stacked_and_restored(visit, file):
    v = visit(STUDENT)
    (before,) = v.sources()
    expect(v.page.locator("#lora-note")).to_have_text("There is no LoRA for tiny-sprint yet.")
    give(v, file)
    expect(v.page.locator("#lora-pick option", has_text="my-style")).to_have_count(1)
    v.page.locator("#lora-pick").select_option("my-style")
    settled(v, "loras", "my-style:1")
    (one,) = v.sources()
    v.page.locator("#loras-my-style").fill("0.4")
    settled(v, "loras", "my-style:0.4")
    (less,) = v.sources()
    assert len({before, one, less}) == 3
    png = base64.b64decode(less.partition(",")[2])
    assert picture.read(png).request.loras == "my-style:0.4"
    v.page.reload()
    v.painted()
    assert v.sources() == [less]
    v.page.get_by_role("button", name="Remove my-style").click()
    settled(v, "loras", "")
    assert v.sources() == [before]


@pytest.fixture
def shared(file, tmp_path):
    """A slider that somebody shared: the LoRA, with the words for its ends."""
    out = tmp_path / "round-hats.safetensors"
    lora_files.write(lora_files.read(file), out, "kohya", more={lora_files.ENDS: "flat/round"})
    return out


def test_a_trained_slider_is_in_the_same_list_and_is_shared_as_one_file(visit, shared, tmp_path):
    v = visit(STUDENT)
    (before,) = v.sources()
    give(v, shared)
    expect(v.page.locator("#say")).to_contain_text("round-hats is in the list of sliders.")
    row = v.page.locator(".sl-slider[data-name=round-hats]")
    expect(row.locator("label")).to_have_text("flat – roundround-hats")
    expect(v.page.locator(".sl-slider[data-name=size] label")).to_have_text("small – big")
    row.locator("input").fill("2")
    settled(v, "sliders", "round-hats:2")
    (moved,) = v.sources()
    assert moved != before
    png = base64.b64decode(moved.partition(",")[2])
    assert picture.read(png).request.sliders == "round-hats:2"
    with v.page.expect_download() as download:
        row.get_by_role("button", name="Share round-hats").click()
    download.value.save_as(tmp_path / "again.safetensors")
    assert lora_files.ends(tmp_path / "again.safetensors") == ("flat", "round")
    first, again = (lora_files.read(path) for path in (shared, tmp_path / "again.safetensors"))
    assert first.keys() == {name.replace(".", "_") for name in again} and len(first) > 3


def test_a_set_of_sliders_is_saved_and_loaded(visit):
    v = visit(STUDENT)
    v.page.locator("#set-name").fill("tiny hats")
    v.page.locator("#set-save").click()
    expect(v.page.locator("#say")).to_contain_text("No slider and no LoRA acts yet.")
    v.page.locator("#sliders-size").fill("-2")
    settled(v, "sliders", "size:-2")
    v.page.locator("#set-save").click()
    expect(v.page.locator("#set-pick")).to_have_value("tiny hats")
    (small,) = v.sources()
    v.page.locator("#sliders-size").fill("0")
    settled(v, "sliders", "")
    assert v.sources() != [small]
    v.page.reload()
    v.painted()
    v.page.locator("#set-pick").select_option("tiny hats")
    settled(v, "sliders", "size:-2")
    expect(v.page.locator("#sliders-size")).to_have_value("-2")
    assert v.sources() == [small]
    v.page.locator("#set-forget").click()
    expect(v.page.locator("#set-pick option")).to_have_count(1)


def test_two_words_are_learnt_on_the_models_own_base(visit):
    """A job; and words that are none are one sentence."""
    v = visit(STUDENT)
    v.page.locator("#slider-words").fill("plain")
    v.page.locator("#slider-train").click()
    expect(v.page.locator("#say")).to_contain_text("Two words make a slider")
    v.page.locator("#slider-words").fill("plain striped")
    v.page.locator("#slider-train").click()
    expect(v.page).to_have_url(re.compile(r"jobs\?id="))
    expect(v.page.locator(".sl-job")).to_contain_text("tiny-sana")
    v.page.get_by_role("button", name="Cancel").click()
    v.page.get_by_role("button", name="Really cancel?").click()
    expect(v.page.locator(".sl-words")).to_contain_text("Cancelled", timeout=400_000)


def test_what_is_no_lora_is_one_sentence(visit, tmp_path):
    v = visit(STUDENT)
    (tmp_path / "a.safetensors").write_bytes(b"no weights at all")
    give(v, tmp_path / "a.safetensors")
    expect(v.page.locator("#say")).to_contain_text("a.safetensors")
