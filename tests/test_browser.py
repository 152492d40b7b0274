"""The page in a real browser, with the network cut: Debian's Chromium on app.py as people start it.

`pytest -m browser` runs these alone. Each waits for what a person would see, never for a time.
"""

import json
import re

import pytest
from playwright.sync_api import expect

from models import catalogue, families, picture
from tests.conftest import PHONE, TINY

pytestmark = pytest.mark.browser


def test_a_first_visit_sees_a_finished_wall(visit):
    page = visit("").page
    tiles = page.locator("#wall figure img")
    expect(tiles).to_have_count(9)
    assert page.eval_on_selector_all("#wall img", "all => all.every(i => i.complete && i.naturalWidth >= 128)")
    assert page.locator("#prompt").input_value() == "a red mushroom"
    sizes = page.evaluate(
        "['#prompt', '#say', '.sl-chips', '#cost', 'h2', '#settings label'].map(s =>"
        " parseFloat(getComputedStyle(document.querySelector(s)).fontSize))"
    )
    assert sizes[0] > max(sizes[1:])
    told = page.eval_on_selector_all(
        "#wall img", "all => all.map(i => [getComputedStyle(i).objectFit, getComputedStyle(i).imageRendering])"
    )
    assert all(t == ["contain", "auto"] for t in told), "a picture is cropped, or blocky"
    computed = re.compile("on this machine: .*denoiser (torch|openvino), of a wall")
    expect(page.locator(".sl-status")).to_have_attribute("title", computed, timeout=15_000)


def test_pictures_change_as_one_types_and_no_keystroke_is_lost(visit):
    v = visit()
    before = v.sources()
    text = " on the blue cube beside a very small mushroom"
    v.type(text, delay=25)
    assert v.page.locator("#prompt").input_value() == "a red ball" + text
    v.painted("a red ball" + text)
    after = v.sources()
    assert len(after) == 4 and not set(before) & set(after)
    cost = v.page.locator("#cost")
    assert re.fullmatch(r"4 pictures in [\d.]+ s", cost.inner_text())
    assert re.fullmatch(r"text [\d.]+ m?s · denoiser [\d.]+ m?s · decode [\d.]+ m?s each", cost.get_attribute("title"))
    assert re.fullmatch(r"[\d.]+ m?s a picture", v.page.locator("#each").inner_text())
    assert v.page.evaluate("performance.getEntriesByName('keystroke').length") >= 1


def test_what_is_typed_before_the_page_is_all_there_stays(visit):
    v = visit()
    late, arrival = [], re.compile("/gradio_api/run/")
    v.page.route(arrival, lambda route: late.append(route))
    with v.page.expect_request(arrival):
        v.page.goto(v.site + "?prompt=a+blue+cube&model=tiny-sana&steps=4&num_images=1")
    v.page.locator("#prompt").fill("mine")
    for route in late:
        route.continue_()
    v.painted("mine")
    assert v.page.locator("#prompt").input_value() == "mine"
    assert (v.request()["model"], v.request()["steps"]) == ("tiny-sana", 4)


def test_the_newest_prompt_does_not_wait_for_the_rest_of_a_wall(visit):
    v = visit(TINY.replace("num_images=4", "num_images=16"))
    asked = []
    v.page.on("request", lambda r: asked.append(json.loads(r.post_data)) if "component_server" in r.url else None)
    v.type(" one")
    v.page.wait_for_function(
        "still.painter.wall.pictures.length > 0 && still.painter.wall.request.prompt.endsWith('one')"
    )
    v.type(" two")
    v.painted("a red ball one two")
    paints = [a["data"] for a in asked if a["fn_name"] == "paint"]
    wanted = [p for p in paints if p["request"]["prompt"] == "a red ball one"]
    assert sum(p["count"] for p in wanted) < 16, "the old wall was finished first"
    assert sum(p["count"] for p in paints if p["request"]["prompt"].endswith("two")) == 16


def test_painting_again_rolls_the_seed_unless_it_is_locked(visit):
    v = visit(TINY + "&style=night")
    count, before = v.page.locator("#count"), v.count()
    v.page.keyboard.press("Control+Enter")
    v.page.keyboard.press("Control+Enter")  # impatience changes nothing
    expect(count).not_to_have_text(before)
    assert v.request()["seed"] == 7, "what was seen is what is kept"
    once = v.count()
    v.page.keyboard.press("Control+Enter")
    expect(count).not_to_have_text(once)
    seed, twice = v.request()["seed"], v.count()
    assert seed != 7
    expect(v.page.locator("#field-seed input")).to_have_value(str(seed))
    v.page.locator("#lock").click()
    v.page.keyboard.press("Control+Enter")
    expect(v.page.locator("#say")).to_contain_text("release the seed")
    assert v.request()["seed"] == seed and v.count() == twice
    v.open()
    expect(v.page.locator("#wall figure").first).to_contain_text(f"seed {seed}")
    expect(v.page.locator("#field-seed input")).to_have_value(str(seed))


def test_a_prompt_that_is_too_long_is_said_to_be_and_stays(visit):
    v = visit()
    v.page.locator("#prompt").fill("a red ball " * 90_000)
    expect(v.page.locator("#say")).to_have_text("prompt must be text of at most 2,000 characters")
    assert len(v.page.locator("#prompt").input_value()) == 990_000
    v.page.locator("#prompt").fill("a blue cube")
    v.painted("a blue cube")
    expect(v.page.locator("#say")).to_have_text("")
    v.page.locator("#prompt").fill("🦊" * 1500)  # two units of JavaScript each, one character
    v.painted("🦊" * 1500)
    v.page.locator("#prompt").fill("a" + "🦊" * 2000)
    expect(v.page.locator("#say")).to_have_text("prompt must be text of at most 2,000 characters")


def test_the_whole_studio_by_keyboard(visit):
    v = visit()
    page = v.page
    v.away()
    on = page.locator("#wall .sl-on figcaption")
    expect(on).to_have_text("seed 7")
    page.keyboard.press("ArrowRight")
    expect(on).to_have_text("seed 8")
    page.keyboard.press("ArrowDown")
    expect(on).to_have_text("seed 10")
    page.keyboard.press("f")
    expect(page.locator("#wall .sl-loved figcaption")).to_have_text("seed 10")
    with page.expect_download() as got:
        page.keyboard.press("d")
    assert got.value.suggested_filename == "a-red-ball-seed-10.png"
    assert picture.read(got.value.path()).request.seed == 10
    page.keyboard.press("Enter")
    expect(page.locator(".sl-closeup")).to_contain_text(
        "tiny-sprint · 1 step · guidance 3.5 · seed 10 · 512 × 512 pixels"
    )
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".sl-closeup")).to_contain_text("seed 9")
    page.keyboard.press("Escape")
    expect(page.locator(".sl-closeup")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator(".sl-help")).to_contain_text("more like this")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#prompt")).to_be_focused()


def test_a_link_restores_and_a_wrong_one_says_so(visit):
    v = visit("?prompt=two+balls&model=tiny-sprint&seed=99&steps=2&num_images=1")
    assert [v.request()[k] for k in ("prompt", "seed", "steps", "num_images")] == ["two balls", 99, 2, 1]
    v.context.grant_permissions(["clipboard-read", "clipboard-write"])
    v.away()
    v.page.keyboard.press("l")
    expect(v.page.locator("#say")).to_contain_text("The link is copied")
    link = v.page.evaluate("navigator.clipboard.readText()")
    v.open(link.removeprefix(v.site))
    assert [v.request()[k] for k in ("prompt", "seed", "steps")] == ["two balls", 99, 2]
    v.open("?seed=x&prompt=a")
    expect(v.page.locator("#say")).to_have_text("seed in the link must be a whole number")


def test_what_a_model_cannot_obey_is_hidden_and_said(visit):
    v = visit()
    page = v.page
    negative = page.locator("#field-negative textarea, #field-negative input")
    expect(negative).to_be_hidden()
    expect(page.locator("#model-note")).to_contain_text("no negative prompt, as its guidance is part of the network")
    hub = page.locator("#model option[value='sana-sprint-1.6b']")
    assert hub.evaluate("o => o.disabled") is True
    expect(page.locator(".sl-reasons")).to_contain_text("It needs an NVIDIA GPU, and there is none here")
    v.type(" on a cube")
    page.locator("#model").select_option("tiny-sana")
    expect(negative).to_be_visible()
    expect(page.locator("#model-note")).not_to_contain_text("no negative prompt")
    v.painted("a red ball on a cube")
    assert (v.request()["model"], v.request()["steps"], v.request()["seed"]) == ("tiny-sana", 20, 7)
    assert page.locator("#field-steps label").all_inner_texts() == ["4", "8", "20", "40"]
    page.locator("#field-steps label", has_text="4").first.click()
    page.wait_for_function("still.painter.wall.complete && still.painter.wall.request.steps === 4")


def test_the_student_that_paints_a_prompt_is_named(visit):
    """Of several students (toybox-msd4) each prompt has one of its own; a model that is one names none."""
    prompts = ["a fox", "a red mushroom"]
    parts = families.load(catalogue.get("toybox-msd4"))
    first, second = parts.denoiser.route(parts.text(prompts))
    assert first != second
    v = visit(f"?prompt={prompts[0]}&model=toybox-msd4&num_images=1")
    cost = v.page.locator("#cost")
    expect(cost).to_have_attribute("title", re.compile(rf" each · student {first + 1}$"))
    expect(v.page.locator("#field-guidance input[type=range]")).to_be_hidden()
    expect(v.page.locator("#model-note")).to_contain_text("no choice of guidance, as it was distilled at one value")
    v.page.locator("#prompt").fill(prompts[1])
    v.painted(prompts[1])
    expect(cost).to_have_attribute("title", re.compile(rf" each · student {second + 1}$"))
    v.page.locator("#model").select_option("tiny-sprint")
    expect(cost).to_have_attribute("title", re.compile(r" each$"))


def test_escape_stops(visit):
    v = visit(TINY.replace("sprint", "sana") + "&steps=4")
    v.page.evaluate("still.set({ steps: 100, num_images: 16 })")
    v.page.wait_for_function("still.painter.busy && still.painter.wall.pictures.length > 0")
    v.page.keyboard.press("Escape")
    v.page.wait_for_function("!still.painter.busy")
    assert v.page.evaluate("still.painter.wall.complete") is False
    expect(v.page.get_by_role("button", name="Stop")).to_be_disabled()


def test_words_that_the_model_never_saw_are_pointed_out(visit):
    v = visit()
    v.type(" on a mushrom")
    expect(v.page.locator(".sl-odd")).to_have_text("mushrom")
    near = v.page.locator(".sl-notes .sl-chip").first
    word = near.inner_text()
    near.click()
    assert v.page.locator("#prompt").input_value() == f"a red ball on a {word}"
    expect(v.page.locator(".sl-odd")).to_have_count(0)
    v.page.get_by_role("button", name="a red mushroom").click()
    v.painted("a red mushroom")


def test_dark_and_light_are_kept(visit):
    v = visit(color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert v.page.evaluate(paper) == "rgb(244, 239, 232)"
    v.page.get_by_role("button", name="Dark or light").click()
    assert v.page.evaluate(paper) == "rgb(21, 19, 16)"
    v.open()
    v.page.wait_for_function(f"{paper} === 'rgb(21, 19, 16)'")


def test_on_a_phone_everything_is_there_and_nothing_sticks_out(visit):
    v = visit("?prompt=a+red+ball&model=tiny-sprint&seed=7&num_images=9", viewport=PHONE, has_touch=True)
    page = v.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = {s: page.locator(s).bounding_box() for s in ("#prompt", "#wall", "#gallery-part")}
    tops = [b["y"] for b in box.values()]
    assert tops == sorted(tops) and all(b["width"] > 150 and b["x"] >= 0 for b in box.values())
    assert page.evaluate("getComputedStyle(document.querySelector('#wall')).gridTemplateColumns.split(' ').length") == 2
    page.locator("#wall figure").nth(3).tap()
    expect(page.locator("#wall .sl-on figcaption")).to_have_text("seed 10")
    page.locator("#wall .sl-on").get_by_role("button", name="More").tap()
    shown = page.locator(".sl-large").bounding_box()
    assert shown["width"] > 300 and shown["x"] >= 0 and shown["x"] + shown["width"] <= 390


def test_a_server_that_is_gone_is_one_sentence(visit):
    v = visit()
    v.page.route("**/component_server/**", lambda route: route.abort())
    v.type(" x")
    expect(v.page.locator("#say")).to_contain_text("The studio didn't answer that.")
    assert v.page.locator("#prompt").input_value() == "a red ball x"
    v.wrong = [w for w in v.wrong if not w.startswith(("Failed to load", "Could not connect"))]


PIXELS = """async u => {
    const picture = await createImageBitmap(await (await fetch(u)).blob());
    const canvas = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
    canvas.drawImage(picture, 0, 0);
    return [...canvas.getImageData(0, 0, picture.width, picture.height).data].join();
}"""


def notes(v):
    return v.page.locator(".sl-notes p")


def test_an_emoji_is_read_as_its_name_and_stays_as_it_was_typed(visit):
    v = visit(TINY + "&enlarge=1")  # how they are painted: enlarging and JPEG would make a grey level more
    v.page.locator("#prompt").fill("a mushroom")
    v.painted("a mushroom")
    named = v.sources()
    v.page.locator("#prompt").fill("a 🍄")
    v.painted("a 🍄")
    expect(notes(v)).to_have_text(["🍄 is read as mushroom."])
    for one, other in zip(v.sources(), named, strict=True):  # a wall comes in batches of any size: one grey level
        a, b = ([int(x) for x in v.page.evaluate(PIXELS, u).split(",")] for u in (one, other))
        assert max(abs(x - y) for x, y in zip(a, b, strict=True)) <= 1
    assert (
        v.request()["prompt"] == "a 🍄"
        and v.page.locator("#wall img").first.get_attribute("alt") == "a mushroom, seed 7"
    )
    v.page.locator("#prompt").fill("a {🐌|🐌}")
    v.painted("a {🐌|🐌}")
    expect(v.page.locator(".sl-odd")).to_have_text(["🐌", "🐌"])
    expect(notes(v)).to_have_text(["This model doesn't know snail.", "🐌 is read as snail."])
    v.page.locator("#wall figure").first.dblclick()
    expect(v.page.locator(".sl-closeup .sl-said")).to_have_text("a {🐌|🐌}")
    expect(v.page.locator(".sl-closeup .sl-reading")).to_have_text("Read as: a snail")


def test_what_does_nothing_is_marked_and_said(visit):
    v = visit()
    v.page.locator("#prompt").fill("a (red:1.4) ball without a {blue|red cube")
    expect(notes(v)).to_contain_text(["without", "{ has no partner", "Weights do nothing", "“without” does nothing"])
    assert v.page.locator(".sl-odd").all_inner_texts() == ["(red:1.4)", "without", "{"]
    long = "a red ball on the blue cube " * 6
    v.page.locator("#prompt").fill(long)
    unread = v.page.locator(".sl-unread")
    expect(unread).to_have_text(re.compile("^a? ?(red|ball|on|the|blue|cube) "))
    expect(notes(v)).to_have_text(["The prompt is longer than this model reads: what is crossed out is not read."])
    read = long[: -len(unread.text_content())]
    v.page.locator("#prompt").fill(read)
    expect(notes(v)).to_have_count(0)
    expect(unread).to_have_text("")


def test_letters_that_run_the_other_way(visit):
    v = visit()
    v.page.locator("#prompt").fill("كرة حمراء")
    expect(notes(v)).to_have_text(["This model was trained on words in Latin letters only; it can't read كرة, حمراء."])
    assert v.page.locator(".sl-odd").all_inner_texts() == ["كرة", "حمراء"]
    right = "e => { const b = e.getBoundingClientRect(), r = document.createRange(); r.selectNodeContents(e);"
    right += " return Math.abs(b.right - r.getBoundingClientRect().right) }"
    assert v.page.evaluate(f"({right})(document.querySelector('.sl-mirror'))") < 30, "its lines begin at the right"
    assert v.page.evaluate("getComputedStyle(document.querySelector('#prompt')).direction") == "rtl"
    assert (
        v.page.evaluate("getComputedStyle(document.querySelector('#field-negative textarea')).unicodeBidi")
        == "plaintext"
    )


def test_everything_below_the_prompt_can_be_seen(visit):
    v = visit()
    v.page.locator("#prompt").fill("wooden unicorns juggle mushrom cakes silently")
    expect(notes(v)).to_have_count(6)
    expect(v.page.get_by_role("button", name="What can I type?")).to_be_visible()
    odd = "[...document.querySelectorAll('.sl-notes, .sl-tries')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    for width in (1400, 1100, 800):
        v.page.set_viewport_size({"width": width, "height": 900})
        for box in v.page.locator(".sl-notes p, .sl-tries .sl-chip").all():
            assert (at := box.bounding_box()) and at["x"] >= 0 and at["x"] + at["width"] <= width
        assert v.page.evaluate(odd) == 0, f"cut off at {width}"


def press(v, key, code):
    keys = json.dumps({"key": key, "code": code, "bubbles": True, "cancelable": True})
    v.page.evaluate(f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {keys}))")


def test_letters_work_on_every_keyboard(visit):
    """A layout without Latin letters has them where they stand; one with them where it says so."""
    v = visit()
    v.away()
    expect(v.page.locator("#count")).to_have_text(re.compile(r"^\d+ pictures?$"))
    before = int(v.count().split()[0])
    press(v, "а", "KeyF")  # Russian
    expect(v.page.locator("#count")).to_have_text(re.compile(f"^{before + 1} "))
    seed = v.request()["seed"]
    press(v, "ㄱ", "KeyR")  # Korean
    v.page.wait_for_function(f"still.request.seed !== {seed}")
    held = v.request()["seed"]
    press(v, "p", "KeyR")  # Dvorak's p stands on R
    press(v, "ö", "Semicolon")
    v.page.wait_for_timeout(50)
    assert v.request()["seed"] == held


NUMBERS = {  # what is typed, and what is then shown and sent
    "seed": [("99999999999", 2**31 - 1), ("-5", 0), ("", 0), ("1.5", 2), ("", 2), ("7", 7)],
    "guidance": [("99", 5), ("-3", 2), ("3.3", 3.3), ("", 3.3)],
    "variation": [("99", 1), ("0.35", 0.35), ("", 0.35)],
}


def test_a_number_is_sent_as_it_is_shown(visit):
    """Out of range it is refused while it is typed; when the field is left it is the nearest that is allowed."""
    v = visit(TINY.replace("images=4", "images=1") + "&variation=0.2")
    for name, typed, sent in [(name, *step) for name, steps in NUMBERS.items() for step in steps]:
        field = v.page.locator(f"#field-{name} input[type=number]")
        field.fill(typed)
        if typed not in ("", "1.5") and float(typed) != sent:
            expect(v.page.locator("#say")).to_contain_text(f"{name} must be ")
        elif typed == "":
            assert v.request()[name] == sent, "an emptied field means the last allowed one"
        field.blur()
        painted = f"still.painter.wall.complete && still.painter.wall.request.{name} === {sent}"
        shown = f"document.querySelector('#field-{name} input[type=number]').valueAsNumber === {sent}"
        v.page.wait_for_function(f"still.request.{name} === {sent} && {painted} && {shown}")
        expect(v.page.locator("#say")).to_have_text("")
