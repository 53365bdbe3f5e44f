"""Images that crash or block a process: which process ends, and what is reported."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from pipelines.errors import ImageError
from pipelines.images import subprocess_decoder
from pipelines.images.decode import decode
from pipelines.images.subprocess_decoder import SubprocessReader, time_limited_reader
from pipelines.images.watchdog import EXIT_CODE
from tests.images.crafted import encoded, grey

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]


def read(content: bytes) -> int:
    """Imitate a decoder: crash, hang or keep the GIL as the bytes say, else count them."""
    if content == b"kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if content == b"exit":
        os._exit(3)
    if content == b"sleep":
        time.sleep(600)
    if content == b"hold":
        re.match(r"(a+)+$", "a" * 60 + "b")  # no other thread runs for longer than anyone waits
    if content == b"mute":
        os.closerange(3, 100)
    if content in (b"stop", b"mute"):
        os.kill(os.getpid(), signal.SIGSTOP)  # from here on no timer of this process runs
    if content == b"bad":
        raise ImageError("unreadable", "bad", (3, 4))
    if content == b"print":
        print("a decoder's own words", flush=True)
        os.write(1, b"and those of its library")
    return len(content)


@pytest.fixture
def reader():
    reader = SubprocessReader(read, 2)
    yield reader
    reader.close()


def failure(reader, content: bytes) -> tuple[str, str]:
    with pytest.raises(ImageError) as caught:
        reader(content)
    return caught.value.failure, caught.value.detail


def test_a_child_answers_as_the_function_does(reader):
    assert [reader(b"a" * size) for size in (0, 1, 3_000_000)] == [0, 1, 3_000_000]
    assert reader(None) == 0
    assert reader(b"print") == 5
    with pytest.raises(ImageError) as caught:
        reader(b"bad")
    assert (caught.value.failure, caught.value.detail, caught.value.size) == ("unreadable", "bad", (3, 4))


@pytest.mark.parametrize("content, how", [(b"kill", "SIGKILL"), (b"exit", "exit code 3")])
def test_what_ends_the_child_has_crashed_and_the_next_image_is_read(reader, content, how):
    detail = f"the process that read it ended ({how}), as the one before may have"
    assert failure(reader, content) == failure(reader, content) == ("crashed", detail)
    assert reader(b"abc") == 3


@pytest.mark.parametrize("content", [b"sleep", b"hold"])
def test_what_takes_too_long_is_ended_even_where_it_holds_the_interpreters_lock(reader, content):
    assert reader(b"abc") == 3
    begun = time.monotonic()
    assert failure(reader, content) == ("too_slow", "not read within images.max_seconds = 2")
    assert 2 <= time.monotonic() - begun < 20
    assert reader(b"abc") == 3


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"stop", ("too_slow", "not read within images.max_seconds = 2")),
        (b"mute", ("crashed", "the process that read it ended (SIGKILL), as the one before may have")),
    ],
)
def test_a_child_that_cannot_end_itself_is_killed(reader, content, expected, monkeypatch):
    monkeypatch.setattr(subprocess_decoder, "_GRACE_SECONDS", 0.5)
    assert reader(b"abc") == 3
    assert failure(reader, content) == expected
    assert reader(b"abc") == 3


@pytest.mark.parametrize(
    "loading, code",
    [((time.sleep, (600,)), -signal.SIGKILL), ((os._exit, (3,)), 3), ((exec, ("raise ValueError",)), 1)],
)
def test_a_child_that_does_not_start_is_an_error_of_the_task_and_of_no_image(loading, code, monkeypatch):
    class Read:
        def __reduce__(self):
            return loading

    monkeypatch.setattr(subprocess_decoder, "_START_SECONDS", 2 if code < 0 else 600)
    with pytest.raises(RuntimeError, match=rf"before its first image \(exit code {code}\)"):
        SubprocessReader(Read(), 60)(b"abc")


def test_threads_share_the_child(reader):
    found: list[int] = []
    threads = [threading.Thread(target=lambda size=size: found.append(reader(b"a" * size))) for size in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(20))


def test_a_child_decodes_to_the_same_pixels():
    content = encoded(grey(64), "JPEG")
    reader = SubprocessReader(partial(decode, max_pixels=10_000), 60)
    try:
        assert reader(content) == decode(content, max_pixels=10_000)
        assert failure(reader, content[:100])[0] == "truncated"
    finally:
        reader.close()


def test_no_module_of_the_current_folder_is_imported_by_a_child(tmp_path, monkeypatch):
    (tmp_path / "pickle.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    reader = SubprocessReader(partial(decode, max_pixels=10_000), 60)
    assert reader(encoded(grey(8), "PNG")).size == (8, 8)
    reader.close()


def test_outside_of_tasks_and_at_a_first_attempt_no_child_is_started():
    for attempt in (None, 0):
        with time_limited_reader(lambda _: os.getpid(), 60, attempt) as bounded:
            assert bounded(b"") == os.getpid()
    with time_limited_reader(read, 60, 1) as bounded:
        assert isinstance(bounded, SubprocessReader)
        pickle.dumps(bounded(b"abc"))


FIRST_ATTEMPT = (
    "import signal\n"
    "from pipelines.images.subprocess_decoder import time_limited_reader\n"
    "from tests.images.test_subprocess_decoder import read\n"
    "with time_limited_reader(read, 2, 0) as bounded:\n"
    "    assert [bounded(b'abc') for _ in range(1000)] == [3] * 1000\n"
)
NO_ALARMS = (
    "signal.signal(signal.SIGALRM, signal.SIG_IGN)\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
)


@pytest.mark.parametrize(
    "before, content, code",
    [("", b"sleep", EXIT_CODE), ("", b"hold", -signal.SIGALRM), (NO_ALARMS, b"hold", -signal.SIGALRM)],
)
def test_at_a_first_attempt_an_image_that_takes_too_long_ends_the_process(before, content, code):
    program = FIRST_ATTEMPT.replace("from pipelines", before + "from pipelines", 1) + f"    bounded({content!r})\n"
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == code, done.stderr
    assert ("images.max_seconds" in done.stderr) == (code == EXIT_CODE)
    assert time.monotonic() - begun > 2


def test_a_first_attempt_ends_even_if_nobody_reads_its_messages():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    command = [sys.executable, "-c", FIRST_ATTEMPT + "    bounded(b'sleep')\n"]
    done = subprocess.run(command, cwd=ROOT, stderr=writing, timeout=100)
    assert done.returncode == -signal.SIGALRM
    os.close(reading)
    os.close(writing)


def test_many_images_under_the_limit_end_nothing_and_other_timers_run_later():
    code = (
        "import signal, time\n"
        "from pipelines.images.subprocess_decoder import time_limited_reader\n"
        "with time_limited_reader(lambda _: time.sleep(.3), 2, 0) as bounded:\n"
        "    for _ in range(20):\n"
        "        bounded(b'')\n"
        "time.sleep(4)\n"
        "signal.setitimer(signal.ITIMER_REAL, 3)\n"
        "time.sleep(600)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=100)
    assert done.returncode == -signal.SIGALRM
