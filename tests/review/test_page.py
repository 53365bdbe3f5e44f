"""The page in Chromium, by keyboard, with a server in a process of its own."""

from __future__ import annotations

import json
import time

import pytest

pytest.importorskip("deltalake")

from tests.azurite import free_port

from .browser import current, journal, open_page, press, server, standing, verdicts, wait_for, wait_until_sent
from .made import Made, make_workspace

pytestmark = [pytest.mark.browser, pytest.mark.process]

NAMELESS = """
    [...document.querySelectorAll("button, select, input, img, article")]
        .filter(each => each.checkVisibility())
        .filter(each => !(each.getAttribute("alt") ?? each.getAttribute("aria-label")
            ?? each.labels?.[0]?.textContent ?? each.textContent).trim())
        .map(each => each.outerHTML)
"""  # what a screen reader could not name


def test_the_keys(browser, running, workspace):
    page = open_page(browser, running.url)
    assert "key=" not in page.url
    assert current(page) == "r00"  # the nearest to the threshold
    press(page, "Enter")  # agree
    assert current(page) == "r01"
    press(page, "2", "e", "u", "s")  # hare, empty, cannot tell, skip
    assert current(page) == "r05"
    press(page, "1", "z")  # fox, and back
    assert current(page) == "r05"
    press(page, "z", "z")  # the skip, and "cannot tell"
    assert current(page) == "r03"
    press(page, "1", "1", "ArrowUp", "ArrowUp", "2")  # fox, fox, and the first of them hare after all
    wait_until_sent(page)
    assert verdicts(page)["r03"] == "✓ hare"
    assert standing(workspace) == {"r00": "fox", "r01": "hare", "r02": "blank", "r03": "hare", "r04": "fox"}
    rows = [each for each in journal(workspace) if each.burst_id == "r00"]
    assert [(each.action, each.scope, each.reviewer, each.queue, each.is_model_chosen) for each in rows] == [
        ("confirm", "burst", "ada", "review", True)
    ] * 3
    assert rows[0].seconds > 0
    assert page.faults == []


def test_a_range_and_all_visible(browser, running, workspace):
    page = open_page(browser, running.url)
    press(page, "Shift+ArrowDown", "Shift+ArrowDown", "2")
    wait_until_sent(page)
    assert standing(workspace) == {f"r0{i}": "hare" for i in range(3)}
    assert current(page) == "r03"
    press(page, "z")  # one step takes all three back
    wait_until_sent(page)
    assert standing(workspace) == {}
    page.wait_for_timeout(200)
    visible = page.locator(".row").evaluate_all(
        """rows => { const low = document.querySelector("header").getBoundingClientRect().bottom;
                     const high = document.querySelector("footer").getBoundingClientRect().top;
                     return rows.filter(row => { const box = row.getBoundingClientRect();
                       return box.top >= low - 2 && box.bottom <= high + 2; }).map(row => row.dataset.burst); }"""
    )
    assert len(visible) >= 3
    press(page, "a")
    wait_until_sent(page)
    assert standing(workspace) == dict.fromkeys(visible, "fox")
    assert page.faults == []


def test_single_images_a_new_label_and_zoom(browser, running, workspace):
    page = open_page(browser, running.url)
    press(page, "p", "ArrowLeft", "ArrowLeft", "1", "e", "e")  # frame by frame
    assert current(page) == "r01"
    press(page, "p", "n")
    top = page.locator(".row.current").bounding_box()["y"]
    page.keyboard.type("snow fox")
    assert page.locator(".row.current").bounding_box()["y"] == top  # the page does not jump to the field
    press(page, "Enter")
    wait_until_sent(page)
    rows = journal(workspace)
    assert [(each.burst_id, each.scope, each.label) for each in rows[:3]] == [
        ("r00", "image", "fox"),
        ("r00", "image", "blank"),
        ("r00", "image", "blank"),
    ]
    assert standing(workspace)["r01"] == "snow fox"
    press(page, " ")
    assert page.locator("#zoom").is_visible()
    press(page, "Enter")  # decides, and shows the next one
    assert current(page) == "r03" and page.locator("#zoom").is_visible()
    wait_for(page, "document.getElementById('zoom-image').naturalWidth > 0")
    press(page, "Escape")
    assert not page.locator("#zoom").is_visible()
    assert page.faults == []


def test_the_images_are_shown_and_have_no_metadata(browser, running, workspace):
    page = open_page(browser, running.url)
    wait_for(page, "[...document.querySelectorAll('.row img')].slice(0, 12).every(image => image.naturalWidth > 0)")
    body = page.evaluate(
        "fetch(document.querySelector('.main img').src).then(r => r.arrayBuffer()).then(b => [...new Uint8Array(b)])"
    )
    assert bytes(body[:3]) == b"\xff\xd8\xff" and b"Exif" not in bytes(body)
    files = [path for path in (workspace / "review" / "cache").glob("*/*") if path.is_file()]
    assert files and {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_acting_does_not_wait_for_the_server_and_nothing_is_lost_when_it_is_away(browser, workspace, tmp_path):
    port = str(free_port())  # other tests' servers take the default one
    with server(workspace, tmp_path / "server.log", "--port", port) as running:
        page = open_page(browser, running.url)
        page.context.route("**/api/decisions", lambda route: route.abort())
        start = time.monotonic()
        press(page, *["1"] * 12)
        assert current(page) == "r12"
        assert time.monotonic() - start < 20
        page.wait_for_selector("#unsent:visible")
        assert page.locator("#unsent").text_content() == "12 not sent: The server does not answer."
        assert standing(workspace) == {}
    with server(workspace, tmp_path / "again.log", "--port", port) as again:
        page.context.unroute("**/api/decisions")
        page.goto(again.url)  # leaving warns of unsent decisions; the new page finds them
        page.wait_for_selector("body[data-ready]")
        assert not set(verdicts(page)) & {f"r{i:02}" for i in range(12)}  # nobody is asked twice
        wait_until_sent(page)
        assert standing(workspace) == {f"r{i:02}": "fox" for i in range(12)}
        assert current(page) == "r12"


def test_after_the_last_burst_keys_decide_nothing_until_somebody_goes_back(browser, running, workspace):
    page = open_page(browser, running.url)
    page.locator("#queue").select_option("search")
    page.locator("#f-text").fill("r07/")
    page.locator("#f-text").press("Enter")
    wait_for(page, "document.querySelector('.row')?.dataset.burst === 'r07'")
    press(page, "Escape", "1", "2", "2")
    page.wait_for_selector("#end:visible")
    wait_until_sent(page)
    assert standing(workspace) == {"r07": "fox"}
    press(page, "ArrowUp", "2", "z", "z")
    wait_until_sent(page)
    assert standing(workspace) == {}
    assert len(journal(workspace)) == 12


def test_queues_filters_and_the_audit(browser, running, workspace):
    page = open_page(browser, f"{running.url}&unused=1")
    page.locator("#queue").select_option("audit")
    wait_for(page, "document.querySelector('.row')?.dataset.burst.startsWith('d')")
    press(page, "Escape", "e", "e", "1")
    wait_until_sent(page)
    assert sorted(standing(workspace).values()) == ["blank", "blank", "fox"]
    assert {each.queue for each in journal(workspace)} == {"audit"}
    page.locator("#queue").select_option("search")
    page.locator("#f-text").fill("r07/")
    page.locator("#f-text").press("Enter")
    wait_for(page, "document.querySelector('.row')?.dataset.burst === 'r07'")
    assert page.locator(".row").count() == 1
    page.locator("#queue").select_option("suspects")
    page.wait_for_selector("#end:visible")
    assert page.locator("#end").text_content() == "Run `irbis train` first: it writes suspects.json."


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (420, 800), (683, 384)])
def test_nothing_is_cut_off_on_a_small_and_on_a_narrow_screen(browser, running, width, height):
    page = open_page(browser, running.url, width=width, height=height)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    rows = page.locator(".row").evaluate_all("rows => rows.map(row => row.getBoundingClientRect().bottom)")
    footer = page.evaluate("document.querySelector('footer').getBoundingClientRect().top")
    assert sum(bottom <= footer for bottom in rows) >= (3 if width > 1000 else 1)
    assert page.evaluate(NAMELESS) == []
    assert page.locator(".row.current").get_attribute("aria-label") == (
        "Burst 1 of 24, predicted fox 61 percent, 3 images, station S1, 2024-06-01 12:00"
    )


def test_a_new_survey_starts_with_what_to_label_first(browser, tmp_path):
    bursts = tuple(Made(f"x{i}", (None,), station=f"S{i % 3}") for i in range(9))
    workspace = make_workspace(tmp_path / "new", bursts, has_champion=False)
    with server(workspace, tmp_path / "server.log", "--keys", "fox=1,deer=2") as started:
        page = open_page(browser, started.url)
        assert page.locator("#queue").input_value() == "suggest"
        press(page, "1", "2", "e", "Enter")  # there is nothing to agree with
        wait_until_sent(page)
        assert sorted(standing(workspace).values()) == ["blank", "deer", "fox"]
        assert json.loads(page.locator("body").get_attribute("data-config"))["keys"] == {"fox": "1", "deer": "2"}
        assert page.faults == []
