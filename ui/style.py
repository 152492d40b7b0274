"""The page's looks: a gradio theme, the style sheets and the scripts.

Colours, radii and fonts are tokens in `still.css`. The theme sets gradio's widgets to these tokens, so that light and
dark are defined in one place. Fonts are those of the reader's system; none is fetched.
"""

from pathlib import Path

from gradio.themes import Base

from ui.tab import tabs

HERE = Path(__file__).parent
SCRIPTS = ("still", "status", "fields")  # the common scripts; those of the tabs follow
SANS = ("ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
MONO = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace")
PAPER, PAPER_DARK, INK, INK_DARK = (
    "#f4efe8",
    "#151310",
    "#2a241d",
    "#f0e9df",
)  # also painted before the sheet arrives


def css() -> str:
    shared = (HERE / "still.css").read_text(encoding="utf-8")
    return "\n".join([shared, *(sheet for tab in tabs() for sheet in tab.sources(".css"))])


def head() -> str:
    """The scripts, inline, so that they run before components mount."""
    shared = [(HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    code = "\n".join([*shared, *(script for tab in tabs() for script in tab.sources(".js"))])
    assert "</script" not in code
    return f'<meta name="color-scheme" content="light dark"><script>\n{code}\n</script>'


def plain(title: str, body: str, root: str = "") -> str:
    """A page that is no tab, in the same style. `root`: the path under which a proxy shows the app."""
    page = (HERE / "plain.html").read_text(encoding="utf-8").replace("/* STYLE */", css())
    for name, text in {"TITLE": title, "BODY": body, "ROOT": root}.items():
        page = page.replace(f"<!-- {name} -->", text)
    return page


def theme() -> Base:
    made = Base(font=SANS, font_mono=MONO, radius_size="lg", text_size="md")
    panel = {"block_background_fill": "transparent", "block_border_width": "0px", "block_padding": "0px"}
    field = {
        "input_background_fill": "var(--sl-panel)",
        "input_border_color": "var(--sl-line)",
        "input_border_color_focus": "var(--sl-accent)",
        "input_border_width": "1px",
        "input_radius": "var(--sl-r)",
        "input_placeholder_color": "var(--sl-soft)",
        "input_shadow": "none",
        "input_shadow_focus": "0 0 0 1px var(--sl-accent)",
    }
    button = {
        "button_primary_background_fill": "var(--sl-accent)",
        "button_primary_background_fill_hover": "var(--sl-accent)",
        "button_primary_text_color": "var(--sl-accent-ink)",
        "button_primary_border_color": "var(--sl-accent)",
        "button_secondary_background_fill": "var(--sl-panel)",
        "button_secondary_background_fill_hover": "var(--sl-panel)",
        "button_secondary_text_color": "var(--sl-ink)",
        "button_secondary_border_color": "var(--sl-line)",
        "button_border_width": "1px",
    }
    # Without a dark value gradio uses its own, so each dark value is set to the same token.
    both = {**panel, **field, **button, **_rest()}
    both |= {f"{k}_dark": v for k, v in both.items() if hasattr(made, f"{k}_dark")}
    return made.set(
        body_background_fill=PAPER,
        body_background_fill_dark=PAPER_DARK,
        body_text_color=INK,
        body_text_color_dark=INK_DARK,
        **both,
    )


def _rest() -> dict[str, str]:
    ink, soft, line, panel = "var(--sl-ink)", "var(--sl-soft)", "var(--sl-line)", "var(--sl-panel)"
    return {
        "body_text_color_subdued": soft,
        "background_fill_primary": panel,
        "background_fill_secondary": panel,
        "border_color_primary": line,
        "border_color_accent": "var(--sl-accent)",
        "color_accent": "var(--sl-accent)",
        "color_accent_soft": line,
        "block_border_color": line,
        "block_info_text_color": soft,
        "block_label_text_color": soft,
        "block_title_text_color": soft,
        "block_title_text_size": "13px",
        "block_title_text_weight": "400",
        "block_shadow": "none",
        "link_text_color": "var(--sl-accent)",
        "slider_color": "var(--sl-accent)",
        "loader_color": "var(--sl-accent)",
        "checkbox_background_color_selected": "var(--sl-accent)",
        "checkbox_label_background_fill": panel,
        "checkbox_label_background_fill_hover": panel,
        "checkbox_label_background_fill_selected": "var(--sl-accent)",
        "checkbox_label_text_color": ink,
        "checkbox_label_text_color_selected": "var(--sl-accent-ink)",
        "panel_background_fill": panel,
        "error_background_fill": panel,
        "error_text_color": ink,
    }
