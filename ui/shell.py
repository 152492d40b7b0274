"""The frame of every page: header, navigation, routes. The list of pages is in ui/tab.py."""

import html

import gradio as gr

from ui.api import publish
from ui.desk import Desk
from ui.jobs.api import JobsApi
from ui.place import Place
from ui.tab import Tab, tabs

TITLE = "Still Life"
OUT = '<a class="sl-out" href="./logout">Log out</a>'


def build(desk: Desk, pages: tuple[Tab, ...] | None = None) -> gr.Blocks:
    """The whole app, not launched."""
    pages = pages or tabs()
    front, *rest = pages
    demo = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400), fill_width=True)
    with demo:
        publish(desk)  # first, so that the endpoints have the plain names
        JobsApi(desk.jobs).publish()
        _page(desk, front, pages)
    for page in rest:
        if page.act is None or desk.place.refusal(page.act) is None:
            with demo.route(page.name, f"/{page.path}"):
                _page(desk, page, pages)
    demo.queue(max_size=64, default_concurrency_limit=8)
    return demo


def _page(desk: Desk, page: Tab, pages: tuple[Tab, ...]) -> None:
    gr.Navbar(visible=False)
    gr.HTML(
        header(page, pages, desk.place),
        elem_id="head",
        apply_default_css=False,
        js_on_load="still.parts.head(element);",
    )
    page.build(desk)


def header(current: Tab, pages: tuple[Tab, ...], place: Place) -> str:
    """The header: name, navigation, time of the last picture, and the switch between dark and light."""
    links = "".join(_link(page, "" if page is pages[0] else page.path, page is current, place) for page in pages)
    return (
        '<header class="sl-head"><a class="sl-mark" href="./">Still&nbsp;L<i>i</i>fe</a>'
        f'<nav aria-label="Pages">{links}</nav>'
        '<div class="sl-status"><span><i class="sl-dot"></i><span id="each"></span></span>'
        '<span id="each-steps"></span><span id="each-model"></span></div>'
        f"{OUT if place.login else ''}"
        '<button class="sl-lamp" title="Dark or light" aria-label="Dark or light">◐</button></header>'
    )


def _link(page: Tab, address: str, current: bool, place: Place) -> str:
    name, reason = html.escape(page.name), page.act and place.refusal(page.act)
    if reason:
        return f'<a aria-disabled="true" title="{html.escape(reason)}">{name}</a>'
    more = (" aria-current=page" if current else "") + (" data-takes=words" if page.takes_words else "")
    return f'<a href="./{html.escape(address)}"{more}>{name}</a>'
