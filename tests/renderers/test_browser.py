"""The report in a real browser: at the width of a phone and of a desk, in light and dark, by keyboard, and on paper."""

import base64
import os

import pytest
from tests.renderers.browser import chromium, missing
from tests.renderers.reports import specimen
from tests.renderers.test_page import REPORTS
from tests.renderers.test_side_by_side import change, compared

from unseen.renderers.page import html_page
from unseen.renderers.side_by_side import rendered_sides

REQUIRED = os.environ.get("UNSEEN_BROWSER") == "required"
TAB = "\ue004"
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3, for text of any size
CONTRASTS = """
const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const rgb = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const ground = node => {
  for (let e = node; e; e = e.parentElement) {
    const colour = rgb(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || ["TITLE", "DESC", "STYLE"].includes(node.tagName.toUpperCase())) continue;
  const style = getComputedStyle(node);
  const ink = light(rgb(node instanceof SVGElement ? style.fill : style.color)), paper = light(ground(node));
  const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  found.push([ratio, node.tagName, walker.currentNode.data.trim()]);
}
return found;
"""
TARGETS = "a[href], [tabindex='0'], summary"


@pytest.fixture(scope="module")
def browser():
    if name := missing():
        told = f"{name} is not installed (Debian: apt-get install chromium chromium-driver)"
        pytest.fail(told) if REQUIRED else pytest.skip(told)
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, make in REPORTS.items():
        (folder / f"{name}.html").write_text(html_page(make()), encoding="utf-8")
    found = [change(one.name, 0.8, after) for one in specimen().attacks for after in (0.7, 0.8)]
    sides = specimen(), specimen(), compared(found)
    (folder / "comparison.html").write_bytes(rendered_sides(*sides, "html"))
    return folder


@pytest.mark.parametrize("name", [*REPORTS, "comparison"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_runs_nothing_and_can_be_read(browser, pages, name, width, scheme):
    browser.show(pages / f"{name}.html", width, scheme)
    across, room = browser.ask("let e = document.documentElement; return [e.scrollWidth, window.innerWidth]")
    assert across <= room == width
    assert browser.ask("return document.scripts.length") == 0
    assert browser.ask("return document.images.length") == 0
    assert browser.ask("return [...document.querySelectorAll('svg')].every(e => e.querySelector('title').textContent)")
    assert browser.ask("return performance.getEntriesByType('resource').length") == 0
    contrasts = browser.ask(CONTRASTS)
    assert len(contrasts) > 100
    assert [one for one in contrasts if one[0] < LEAST_CONTRAST] == []


@pytest.mark.parametrize("width", [390, 1440])
def test_what_does_not_fit_scrolls_in_its_own_region_only(browser, pages, width):
    browser.show(pages / "hostile.html", width, "light")
    beyond = """
        const inside = e => e.closest('.wide') || e.closest('svg') || e.classList.contains('skip');
        return [...document.body.querySelectorAll('*')].filter(e => !inside(e))
            .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1).map(e => e.outerHTML.slice(0, 80))
    """
    assert browser.ask(beyond) == []


@pytest.mark.parametrize("name", ["leak", "no_leak_found", "over policy", "comparison"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_table_is_cut_at_the_right(browser, pages, name, width):
    browser.show(pages / f"{name}.html", width, "light")
    cut = "return [...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth)"
    assert browser.ask(f"{cut}.map(e => e.getAttribute('aria-label'))") == []
    left = "e => e.getBoundingClientRect().left < e.ownerSVGElement.getBoundingClientRect().left - 0.5"
    assert (
        browser.ask(f"return [...document.querySelectorAll('svg text')].filter({left}).map(e => e.textContent)") == []
    )


def test_a_table_that_is_stacked_on_a_phone_is_a_table_to_a_screen_reader(browser, pages):
    browser.show(pages / "leak.html", 390, "light")
    browser.tell("Accessibility.enable")
    nodes = [one for one in browser.tell("Accessibility.getFullAXTree")["nodes"] if not one["ignored"]]
    names = {(one["role"]["value"], one.get("name", {}).get("value", "")) for one in nodes}
    assert ("table", "Every attack, by the signal it reads; intervals at 95 %") in names
    assert ("rowheader", "rank-combined") in names


def test_the_schemes_differ_and_follow_the_reader(browser, pages):
    grounds = []
    for scheme in ("light", "dark"):
        browser.show(pages / "leak.html", 1440, scheme)
        grounds.append(browser.ask("return getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(253, 252, 249)", "rgb(23, 22, 20)"]


def test_everything_that_can_be_used_is_reached_by_keyboard_and_shows_it(browser, pages):
    browser.show(pages / "leak.html", 390, "light")
    wanted = browser.ask(f'return document.querySelectorAll("{TARGETS}").length')
    look = "const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();"
    shown = "return [e.textContent.slice(0, 40), s.outlineStyle, r.right > 0 && r.width > 0]"
    seen = []
    for _ in range(wanted):
        browser.press(TAB)
        seen.append(browser.ask(look + shown))
    assert seen[0][0] == "Skip to the report"
    assert len({tuple(one) for one in seen}) > 15
    assert {one[1] for one in seen} == {"solid"}
    assert all(one[2] for one in seen)


def test_the_chart_and_its_table_are_named_to_a_screen_reader(browser, pages):
    browser.show(pages / "leak.html", 1440, "light")
    browser.tell("Accessibility.enable")
    nodes = browser.tell("Accessibility.getFullAXTree")["nodes"]
    names = {(one["role"]["value"], one.get("name", {}).get("value", "")) for one in nodes if not one["ignored"]}
    roles = [role for role, _ in names]
    assert ("image", "AUC of each attack") in names
    assert ("table", "Every attack, by the signal it reads; intervals at 95 %") in names
    assert {"banner", "main", "navigation", "contentinfo"} <= set(roles)


def test_it_prints_on_a_few_pages_of_paper_in_ink(browser, pages):
    browser.show(pages / "leak.html", 1440, "dark", media="print")
    assert browser.ask("return getComputedStyle(document.body).color") == "rgb(29, 28, 26)"
    paper = base64.b64decode(browser.tell("Page.printToPDF", printBackground=False, preferCSSPageSize=True)["data"])
    assert paper.startswith(b"%PDF")
