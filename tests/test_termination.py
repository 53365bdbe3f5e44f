"""A signal ends a command in bounded time, whatever is in its way. Each case is a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

BEGIN = """
import signal, sys, threading, time
from pipelines import termination
from pipelines.termination import Terminated, before_forced_exit, handle_termination
termination.MAX_SECONDS = termination.WRITING_SECONDS = termination.LAST_SECONDS = 0.3
"""


def begun(code, **options):
    """Return a process that runs the code, once it has printed `on`."""
    command = [sys.executable, "-c", BEGIN + code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # The tests themselves may run under nohup, which ignores SIGHUP for all processes below.
    options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    running = subprocess.Popen(command, text=True, **pipes, **options)
    assert running.stdout.readline() == "on\n"
    return running


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_what_ended_because_of_the_signal_ends_as_the_signal_does(number, code):
    program = """
try:
    with handle_termination():
        try:
            print("on", flush=True)
            while True: time.sleep(0.05)
        finally:
            raise ConnectionRefusedError("java is gone")
except Terminated as end:
    print(end, end.exit_code)
"""
    running = begun(program)
    running.send_signal(number)
    assert running.communicate()[0] == f"ended by {number.name} {code}\n"


def test_nothing_keeps_the_process_and_its_record_is_written():
    code = """
with handle_termination(), before_forced_exit(lambda: print("record")):
    try:
        print("on", flush=True)
        while True: time.sleep(0.05)
    finally:
        print("ending", flush=True)
        threading.Event().wait(60)  # as of a library that goes on
"""
    running = begun(code)
    running.send_signal(signal.SIGTERM)
    assert running.stdout.readline() == "ending\n"
    running.send_signal(signal.SIGTERM)
    assert (running.communicate(), running.returncode) == (("record\n", ""), 143)


def test_threads_that_go_on_do_not_keep_the_process():
    code = """
termination.MAX_SECONDS = 3600
threading.Thread(target=time.sleep, args=[3600]).start()  # as of a trial: Python waits for its threads
try:
    with handle_termination():
        print("on", flush=True)
        while True: time.sleep(0.05)
except Terminated:
    termination.exit_soon()
"""
    running = begun(code)
    running.send_signal(signal.SIGTERM)
    assert (running.communicate(), running.returncode) == (("", ""), 143)


def test_a_record_that_cannot_be_written_does_not_keep_the_process_either():
    code = """
with handle_termination(), before_forced_exit(lambda: time.sleep(60)):
    try:
        print("on", flush=True)
        while True: time.sleep(0.05)
    finally:
        time.sleep(60)
"""
    running = begun(code)
    running.send_signal(signal.SIGTERM)
    assert running.wait() == 143


def test_what_the_parent_ignores_stays_ignored_and_a_child_ends_as_ever():
    code = """
import os
with handle_termination():
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, b"x")
        while True: time.sleep(0.05)
    os.read(read, 1)  # before, Python forgets what signals have come
    os.kill(child, signal.SIGTERM)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("on", flush=True)
    print(ended, input())
"""
    running = begun(code, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # as nohup does
    running.send_signal(signal.SIGHUP)
    assert running.communicate("still here\n") == ("-15 still here\n", "")
    assert running.returncode == 0
