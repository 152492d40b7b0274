"""The shell around every page: header, navigation, look; and the list of pages.

A new page is one line in PAGES: its name, its path and the function that builds it inside the current Blocks.
"""

import html
from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from ui.api import publish
from ui.compare.tab import Compare
from ui.create.tab import Create
from ui.desk import Desk
from ui.distill.tab import Distill
from ui.jobs.api import JobsApi
from ui.jobs.tab import Jobs
from ui.place import Place

TITLE = "Still Life"


@dataclass(frozen=True)
class Page:
    """`action`: what a visitor must be allowed to do to open it (Place.refusal); None: anybody may."""

    name: str
    path: str  # "" is the front page
    build: Callable[[Desk], object]
    action: str | None = None


PAGES = (
    Page("Create", "", Create),
    Page("Compare", "compare", Compare),
    Page("Distill", "distill", Distill, "distill"),
    Page("Jobs", "jobs", Jobs),
)


def build(desk: Desk, pages: tuple[Page, ...] = PAGES) -> gr.Blocks:
    """The whole app, not launched."""
    front, *rest = pages
    demo = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400), fill_width=True)
    with demo:
        publish(desk)  # first, so that the endpoints have the plain names
        JobsApi(desk.jobs).publish()
        _page(desk, front, pages)
    for page in rest:
        if page.action is None or desk.place.refusal(page.action) is None:
            with demo.route(page.name, f"/{page.path}"):
                _page(desk, page, pages)
    demo.queue(max_size=64, default_concurrency_limit=8)
    return demo


def _page(desk: Desk, page: Page, pages: tuple[Page, ...]) -> None:
    gr.Navbar(visible=False)
    gr.HTML(
        header(page, pages, desk.place),
        elem_id="head",
        apply_default_css=False,
        js_on_load="still.parts.head(element);",
    )
    page.build(desk)


def header(current: Page, pages: tuple[Page, ...], place: Place) -> str:
    """Name, navigation, what the last picture cost, and the lamp that turns the page dark or light."""
    links = "".join(_link(page, page is current, place) for page in pages)
    return (
        '<header class="sl-head"><a class="sl-mark" href="./">Still&nbsp;L<i>i</i>fe</a>'
        f'<nav aria-label="Pages">{links}</nav>'
        '<div class="sl-status"><span><i class="sl-dot"></i><span id="each"></span></span>'
        '<span id="each-steps"></span><span id="each-model"></span></div>'
        '<button class="sl-lamp" title="Dark or light" aria-label="Dark or light">◐</button></header>'
    )


def _link(page: Page, current: bool, place: Place) -> str:
    name, reason = html.escape(page.name), page.action and place.refusal(page.action)
    if reason:
        return f'<a aria-disabled="true" title="{html.escape(reason)}">{name}</a>'
    return f'<a href="./{html.escape(page.path)}"{" aria-current=page" if current else ""}>{name}</a>'
