"""What Databricks answers, in our words: the states of runs, and what its SDK raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.errors import AccessError
from pipelines.runs.backends.base import ConnectionLost
from pipelines.runs.history import FAILED, RUNNING, PENDING, STOPPED, SUCCEEDED

_STATES = {"QUEUED": PENDING, "PENDING": PENDING, "BLOCKED": PENDING, "WAITING_FOR_RETRY": PENDING}
_RESULTS = {"SUCCESS": SUCCEEDED, "SUCCESS_WITH_FAILURES": SUCCEEDED, "CANCELED": STOPPED, "UPSTREAM_CANCELED": STOPPED}
_ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


def map_state(found: Any) -> tuple[str, str]:
    """Give the ledger's state and Databricks' own word for it."""
    life = found.life_cycle_state.value if found and found.life_cycle_state else "PENDING"
    if life not in _ENDED:
        return _STATES.get(life, RUNNING), life
    result = found.result_state.value if found.result_state else life
    return _RESULTS.get(result, FAILED), result


@contextmanager
def translate_errors() -> Iterator[None]:
    """Say in our words what the SDK raises, once its own attempts are used up."""
    import requests
    from databricks.sdk import errors

    try:
        yield
    except (errors.Unauthenticated, errors.PermissionDenied) as error:
        raise AccessError(
            f"Databricks refuses: {_first_line(error)}. A new login: `databricks auth login`, or another "
            "DATABRICKS_TOKEN; runs that were started go on meanwhile."
        ) from error
    except (errors.TooManyRequests, errors.InternalError, errors.TemporarilyUnavailable, TimeoutError) as error:
        raise ConnectionLost(f"Databricks does not answer as it should: {_first_line(error)}.") from error
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise ConnectionLost(f"The connection to Databricks broke: {_first_line(error)}.") from error
    except errors.DatabricksError as error:
        raise AccessError(f"Databricks answers: {_first_line(error)}.") from error


def _first_line(error: BaseException) -> str:
    lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".")
