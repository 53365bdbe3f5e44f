"""What reviewers do that nobody wrote down, in Chromium: fields, scrolling, odd keyboards, a server that hangs."""

from __future__ import annotations

import resource
import signal
from contextlib import ExitStack

import pytest

pytest.importorskip("deltalake")

from .browser import current, open_page, press, server, standing, wait_for, wait_until_sent
from .made import Made, make_workspace

pytestmark = [pytest.mark.browser, pytest.mark.process]

NOTICE = "document.getElementById('notice').textContent"


@pytest.fixture
def server_of(tmp_path):
    """Return a function that starts a server on a workspace of bursts."""
    with ExitStack() as stack:

        def start(*bursts, **options):
            workspace = make_workspace(tmp_path / "own", bursts, **options)
            return stack.enter_context(server(workspace, tmp_path / "own.log"))

        yield start


def focus(page):
    return page.evaluate("document.activeElement.id || document.activeElement.dataset.burst || ''")


def test_a_field_keeps_the_keyboard_until_enter(browser, running, workspace):
    page = open_page(browser, running.url)
    press(page, "q", "a")  # Audit of dismissed bursts
    wait_for(page, "document.querySelector('.row')?.dataset.burst.startsWith('d')")
    press(page, "u")  # the second letter, and not "cannot tell"
    assert focus(page) == "queue"
    press(page, "Enter")
    assert focus(page) == current(page) != ""
    page.locator("#f-day").focus()
    page.keyboard.type("06032024")  # each year from 0002 on is a date
    wait_for(page, "document.querySelectorAll('.row').length === 18")
    assert focus(page) == "f-day"
    press(page, "Escape", "e")
    wait_until_sent(page)
    assert len(standing(workspace)) == 1
    assert page.faults == []


def test_the_filters_that_are_shown_apply_in_every_queue(browser, running):
    page = open_page(browser, running.url)
    page.locator("#f-day").fill("2024-06-03")
    wait_for(page, "document.querySelectorAll('.row').length === 0")
    page.locator("#queue").select_option("audit")
    wait_for(page, "document.querySelectorAll('.row').length === 18")
    assert page.locator("#f-day").input_value() == "2024-06-03"
    press(page, "e")
    wait_until_sent(page)
    page.wait_for_timeout(500)
    assert page.locator("#p-done").text_content() in ("0 of 18", "1 of 18")  # not of the whole queue
    page.goto("about:blank")
    page.go_back()
    page.wait_for_selector("body[data-ready]")
    assert page.locator("#f-day").input_value() == ""  # the queue is not narrowed any more


def test_nothing_is_decided_that_is_not_on_the_screen(browser, running, workspace):
    page = open_page(browser, running.url)
    page.mouse.move(600, 400)
    page.mouse.wheel(0, 1500)
    wait_for(page, "document.querySelector('.row.current').getBoundingClientRect().bottom < 0")
    press(page, "1")
    assert page.evaluate(NOTICE) == "The current burst was not on the screen. Nothing is decided: press the key again."
    assert current(page) == "r00" and page.locator(".row.current").bounding_box()["y"] > 0
    press(page, "1")
    wait_until_sent(page)
    assert standing(workspace) == {"r00": "fox"}


def test_the_number_pad_labels_with_numlock_only_and_keys_with_altgr_do_nothing(browser, running, workspace):
    page = open_page(browser, running.url)
    press(page, "Numpad1", "Numpad7")  # End, Home
    page.evaluate(
        """document.activeElement.dispatchEvent(new KeyboardEvent("keydown",
            {key: "€", code: "KeyE", modifierAltGraph: true, bubbles: true}))"""
    )
    assert current(page) == "r00"
    press(page, "Home")
    wait_for(page, "scrollY === 0")
    press(page, "Shift+Numpad2", "E")  # a digit; a capital letter
    wait_until_sent(page)
    assert standing(workspace) == {"r00": "hare", "r01": "blank"}


def test_a_key_that_cannot_do_anything_says_why(browser, server_of):
    page = open_page(browser, server_of(Made("x0", (None, None), failure="truncated"), has_champion=False).url)
    said = []
    for key in ("z", "Enter", "a"):
        press(page, key)
        said.append(page.evaluate(NOTICE))
    assert said == [
        "There is nothing to undo since this page was loaded. "
        "Earlier decisions are in the queue “A class, station or day”.",
        "There is no prediction to agree with.",
        "No burst that is completely visible has a prediction to agree with.",
    ]
    press(page, "p", "ArrowLeft", "e")
    assert page.evaluate(NOTICE) == "This image cannot be read."


def test_a_typed_label_gets_a_key(browser, server_of, tmp_path):
    started = server_of(*[Made(f"x{i}", (None,)) for i in range(9)], has_champion=False)
    page, other = open_page(browser, started.url), open_page(browser, started.url)
    press(page, "1", "n")  # there are no labels yet
    page.keyboard.type("snow fox")
    press(page, "Enter")
    wait_until_sent(page)
    wait_for(page, "document.querySelector('#label-keys').textContent.includes('1 snow fox')")
    press(page, "1")
    wait_until_sent(page)
    assert list(standing(tmp_path / "own").values()) == ["snow fox"] * 2
    wait_for(other, "document.querySelector('#label-keys').textContent.includes('1 snow fox')")


def test_a_suspended_server_is_reported_and_gets_all_decisions_when_it_wakes_up(browser, running, workspace):
    page = open_page(browser, running.url)
    running.process.send_signal(signal.SIGSTOP)
    press(page, "1", "2", "e")
    page.wait_for_selector("#unsent:visible")
    assert page.locator("#unsent").text_content() == "3 not sent: The server has not answered yet."
    wait_for(page, f"{NOTICE} === 'The server does not answer.'", seconds=60)
    running.process.send_signal(signal.SIGCONT)
    wait_until_sent(page)
    wait_for(page, "document.getElementById('notice').hidden && document.getElementById('unsent').hidden", seconds=60)
    assert standing(workspace) == {"r00": "fox", "r01": "hare", "r02": "blank"}


def test_a_full_disk_shows_images_and_keeps_decisions_until_there_is_room(browser, running, workspace):
    limits = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    page = open_page(browser, running.url)
    wait_for(page, "[...document.querySelectorAll('.row img')].slice(0, 12).every(image => image.naturalWidth > 0)")
    assert not [path for path in (workspace / "review" / "cache").glob("*/*") if path.is_file()]
    press(page, "1", "2")
    page.wait_for_selector("#unsent:visible")
    assert page.locator("#unsent").text_content() == "2 not sent: The journal cannot be written: File too large."
    assert standing(workspace) == {}
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, limits)
    page.locator("#unsent").wait_for(state="hidden")
    assert standing(workspace) == {"r00": "fox", "r01": "hare"}


def test_a_server_that_has_gone_is_reported_without_a_key(browser, running):
    page = open_page(browser, running.url)
    running.kill()
    wait_for(page, f"{NOTICE} === 'The server does not answer.'")
    assert page.locator("#notice").is_visible()


def test_a_label_is_typed_above_the_zoomed_image(browser, running, workspace):
    page = open_page(browser, running.url)
    press(page, " ", "n")
    box = page.locator("#new-label-text").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    assert page.evaluate(f"document.elementFromPoint({x}, {y}).id") == "new-label-text"
    page.keyboard.type("otter")
    press(page, "Enter")
    wait_until_sent(page)
    assert standing(workspace) == {"r00": "otter"} and page.locator("#zoom").is_visible()
    press(page, "q")
    assert not page.locator("#zoom").is_visible() and focus(page) == "queue"
