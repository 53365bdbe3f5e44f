"""Map states of Databricks runs, and errors of its SDK, to those of irbis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.errors import AccessError
from pipelines.runs.backends.base import ConnectionLost
from pipelines.runs.history import FAILED, PENDING, RUNNING, STOPPED, SUCCEEDED

_STATES = {"QUEUED": PENDING, "PENDING": PENDING, "BLOCKED": PENDING, "WAITING_FOR_RETRY": PENDING}
_RESULTS = {"SUCCESS": SUCCEEDED, "SUCCESS_WITH_FAILURES": SUCCEEDED, "CANCELED": STOPPED, "UPSTREAM_CANCELED": STOPPED}
_ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


def map_state(run_state: Any) -> tuple[str, str]:
    """Return the state in the run history, and Databricks' own name for it."""
    life = run_state.life_cycle_state.value if run_state and run_state.life_cycle_state else "PENDING"
    if life not in _ENDED:
        return _STATES.get(life, RUNNING), life
    result = run_state.result_state.value if run_state.result_state else life
    return _RESULTS.get(result, FAILED), result


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise errors of the SDK, after its own retries, as AccessError or ConnectionLost."""
    import requests
    from databricks.sdk import errors

    try:
        yield
    except (errors.Unauthenticated, errors.PermissionDenied) as error:
        raise AccessError(
            f"Databricks denied access: {_first_line(error)}. Log in again with `databricks auth login`, or set "
            "another DATABRICKS_TOKEN; started runs continue meanwhile."
        ) from error
    except (errors.TooManyRequests, errors.InternalError, errors.TemporarilyUnavailable, TimeoutError) as error:
        raise ConnectionLost(f"Databricks is temporarily unavailable: {_first_line(error)}.") from error
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise ConnectionLost(f"The connection to Databricks was lost: {_first_line(error)}.") from error
    except errors.DatabricksError as error:
        raise AccessError(f"Databricks returned an error: {_first_line(error)}.") from error


def _first_line(error: BaseException) -> str:
    lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".")
