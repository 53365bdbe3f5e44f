"""The report in a browser: hostile names are text, and nothing overflows."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

from pipelines.reports.render import render

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="neither chromium nor google-chrome is on PATH")
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.browser
def test_chromium_shows_hostile_names_as_text_without_overflow(tmp_path, width, contents, hostile):
    """Frame the page in one of the test's own, whose script measures it from outside."""
    given = json.dumps(hostile).replace("<", "\\u003c")
    source = html.escape(render(contents(hostile)))
    wrapper = tmp_path / "frame.html"
    wrapper.write_text(
        f"""<!DOCTYPE html><meta charset="utf-8"><body>
        <iframe width="{width}" height="900" style="border:0" srcdoc="{source}"></iframe>
        <script>onload = () => {{
          const page = document.querySelector("iframe").contentDocument
          for (const each of page.querySelectorAll("details")) each.open = true
          const width = page.documentElement.clientWidth
          const outside = [...page.body.querySelectorAll("*")].filter(each => !each.closest(".scroll *, .name *, svg")
            && each.getBoundingClientRect().right > width + 1)
          document.body.textContent = "found:" + JSON.stringify({{
            overflow: page.documentElement.scrollWidth - width,
            outside: outside.map(each => each.tagName + "." + each.className),
            missing: {given}.filter(each => !page.body.textContent.includes(each)),
            title: page.title, images: [...page.images].every(each => each.naturalWidth == 160),
            background: page.defaultView.getComputedStyle(page.body).backgroundColor }})
        }}</script>""",
        encoding="utf-8",
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", "--window-size=1600,1000"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", wrapper.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(html.unescape(re.search(r"found:(\{.*\})", done.stdout)[1]))
    assert found == {
        "overflow": 0,
        "outside": [],
        "missing": [],
        "title": f"Report {hostile[-1]}",
        "images": True,
        "background": "rgb(250, 249, 245)",
    }
