"""The page in Chromium, by keyboard, with a server in a process of its own."""

from __future__ import annotations

import json
import time

import pytest

pytest.importorskip("deltalake")

from pipelines import schemas
from pipelines.workspace.journal_files import parse_line

from .browser import chromium, current, open_page, press, server, verdicts, wait_for, wait_until_sent
from .made import NOON, Made, image_rows, make_workspace, prediction_rows, write_table

pytestmark = [pytest.mark.browser, pytest.mark.process]

LATER = NOON.replace(day=2)
BURSTS = tuple(
    Made(f"r{i:02}", (0.61 + i / 100, 0.611 + i / 100, 0.609 + i / 100), needs_review=True) for i in range(24)
)
DISMISSED = tuple(Made(f"d{i:02}", (0.1,)) for i in range(30))

NAMELESS = """
    [...document.querySelectorAll("button, select, input, img, article")]
        .filter(each => each.checkVisibility())
        .filter(each => !(each.getAttribute("alt") ?? each.getAttribute("aria-label")
            ?? each.labels?.[0]?.textContent ?? each.textContent).trim())
        .map(each => each.outerHTML)
"""  # what a screen reader could not name


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def workspace(tmp_path):
    return make_workspace(tmp_path / "work space é", BURSTS + DISMISSED)


@pytest.fixture
def running(workspace, tmp_path):
    with server(workspace, tmp_path / "server.log", "--reviewer", "ada") as started:
        yield started


def journal(workspace):
    """Return the decisions in the journals, oldest first."""
    lines = [
        line for path in (workspace / "review" / "journal").glob("*.jsonl") for line in path.read_bytes().splitlines()
    ]
    return sorted((parse_line(line)[0] for line in lines), key=lambda each: each.reviewed_at)


def standing(workspace):
    """Return label by burst, as the table would have it."""
    decisions = journal(workspace)
    undone = {each.undoes for each in decisions}
    kept = [each for each in decisions if each.action not in ("undo", "skip") and each.decision_id not in undone]
    return {each.burst_id: each.label for each in kept}


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


def test_acting_does_not_wait_for_the_server_and_nothing_is_lost_when_it_is_away(browser, running, workspace, tmp_path):
    page = open_page(browser, running.url)
    page.context.route("**/api/decisions", lambda route: route.abort())
    start = time.monotonic()
    press(page, *["1"] * 12)
    assert current(page) == "r12"
    assert time.monotonic() - start < 20
    page.wait_for_selector("#unsent:visible")
    assert page.locator("#unsent").text_content() == "12 not sent: The server does not answer."
    assert standing(workspace) == {}
    running.kill()
    with server(workspace, tmp_path / "again.log", "--port", running.url.split(":")[2].split("/")[0]) as again:
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


def test_two_windows_at_once(browser, running, workspace):
    first, second = open_page(browser, running.url), open_page(browser, running.url)
    press(first, "1")
    wait_until_sent(first)
    press(second, "2")
    wait_until_sent(second)
    assert standing(workspace)["r00"] == "hare"
    assert len({each.decision_id for each in journal(workspace)}) == 6  # both are kept
    for page in (first, second):
        page.wait_for_selector('.row[data-burst="r00"] .conflict', timeout=15_000)
        text = page.locator('.row[data-burst="r00"] .conflict').text_content()
        assert text == "⚠ decided differently – ada: hare; ada: fox. The newest counts."
    press(second, "1", "1")
    wait_for(first, "document.querySelector('.row[data-burst=r02]').classList.contains('done')")


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


def test_what_other_commands_write_appears_without_losing_the_place_or_what_can_be_undone(browser, running, workspace):
    page = open_page(browser, running.url)
    press(page, "1", "2", "s", "1")
    wait_until_sent(page)
    press(page, "ArrowDown", "Shift+ArrowDown")
    top = page.locator(".row.current").bounding_box()["y"]
    near = Made("n0", (0.601, 0.6), needs_review=True, station="S9")  # the nearest to the threshold
    grown = Made("r06", (0.67, 0.671, 0.669, 0.67), needs_review=True)
    write_table(workspace, "images", schemas.IMAGES, image_rows([near, grown], LATER))
    write_table(workspace, "predictions", schemas.PREDICTIONS, prediction_rows([near, grown], "1", LATER))
    page.wait_for_selector("#notice:visible", timeout=60_000)
    assert page.locator("#notice").text_content() == "Updated: 3 images more, 1 burst more with a prediction."
    assert current(page) == "r06" and abs(page.locator(".row.current").bounding_box()["y"] - top) < 2
    assert page.evaluate("document.activeElement.dataset.burst") == "r06"
    wait_for(page, "document.querySelector('.row.current').getAttribute('aria-label').includes('4 images')")
    wait_for(page, "[...document.querySelectorAll('.row')].some(row => row.dataset.burst === 'n0')")
    shown = [row for row in verdicts(page) if row > "r06" or row == "n0"]
    assert shown[:2] == ["n0", "r07"] and len(shown) == len(set(shown))
    assert "S9" in page.locator("#f-station option").all_text_contents()
    press(page, "2")  # the range, with the images that are there now
    wait_until_sent(page)
    assert current(page) == "n0"
    assert standing(workspace) == {"r00": "fox", "r01": "hare", "r03": "fox", "r05": "hare", "r06": "hare"}
    assert len([each for each in journal(workspace) if each.burst_id == "r06"]) == 4
    press(page, "z", "z", "z", "z")
    wait_until_sent(page)
    assert current(page) == "r01"
    assert standing(workspace) == {"r00": "fox"}
    assert page.faults == []


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (420, 800)])
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
