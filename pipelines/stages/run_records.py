"""Which folders of WORKSPACE/runs are old records, wherever the workspace is."""

from __future__ import annotations

import re
from collections.abc import Iterable

RUNS = "runs"
UNKNOWN_SECONDS = 7 * 86_400.0  # for which a run that has written no record may be at work still
NAME = re.compile(r"[a-z]+-\d{8}-\d{4,6}-[0-9a-f]{4}")  # of `new_id`: a folder of another name is somebody's own


def is_due(run: str, files: Iterable[tuple[str, float]], now: float, kept: float) -> bool:
    """Return whether the record of a run may go: it has ended, and nothing in it has changed for `kept` seconds.

    `files`: the names below its folder and when each was changed, in seconds since the epoch. A stage of which there
    is a log, but no result, may be running, or was killed: it counts as ended after a week without a word.
    """
    if not NAME.fullmatch(run):
        return False
    changed = dict(files)
    age = now - max(changed.values(), default=now)
    logs = {name.removesuffix(".log") for name in changed if name.endswith(".log") and "/" not in name}
    records = {name.removesuffix(".json") for name in changed if name.endswith(".json") and "/" not in name}
    is_over = bool(records) and logs <= records
    return age >= (kept if is_over else max(kept, UNKNOWN_SECONDS))
