"""The page in Chromium, while other windows decide and other commands write to the workspace."""

from __future__ import annotations

import pytest

pytest.importorskip("deltalake")

from pipelines import schemas

from .browser import current, journal, open_page, press, standing, verdicts, wait_for, wait_until_sent
from .made import NOON, Made, image_rows, prediction_rows, write_table

pytestmark = [pytest.mark.browser, pytest.mark.process]

LATER = NOON.replace(day=2)


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
