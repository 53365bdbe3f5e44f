"""Promotion and rollback of the champion; user, time and reason are recorded on the version itself."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from pipelines.errors import ModelError
from pipelines.tracking import served_models
from pipelines.tracking.mlflow_client import CHALLENGER, CHAMPION, ModelVersion, Tracking

PROMOTIONS_TAG = "promotions"


@dataclass(frozen=True)
class Promotion:
    """One promotion of a version to champion; `previous` is the version that was champion before."""

    by: str
    at: str  # ISO 8601, UTC
    reason: str
    previous: str | None
    is_rollback: bool = False


def promotion_history(version: ModelVersion) -> list[Promotion]:
    """Return the promotions of a version, the oldest first."""
    return [Promotion(**each) for each in json.loads(version.tags.get(PROMOTIONS_TAG, "[]"))]


def set_champion(tracking: Tracking, version: ModelVersion, reason: str, *, is_rollback: bool = False) -> None:
    """Make a version champion, record user, time and reason on it, and remove its challenger alias."""
    previous = tracking.champion()
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    promotion = Promotion(_current_user(), now, reason, previous.version if previous else None, is_rollback)
    # The tag first: if the process is killed in between, the champion is unchanged.
    promotions = [asdict(entry) for entry in (*promotion_history(version), promotion)]
    tracking.tag(version, **{PROMOTIONS_TAG: json.dumps(promotions)})
    challenger = tracking.challenger()
    if challenger and challenger.version == version.version:
        tracking.delete_alias(CHALLENGER)  # before CHAMPION is set, as no version may have both
    tracking.set_alias(version, CHAMPION)
    served_models.set_champion(tracking, version)


def promote(tracking: Tracking, number: str, reason: str) -> str:
    """Promote a version by its number, even if it failed the gate; return a message."""
    if number == CHAMPION:
        raise ModelError("Give the version by its number, such as `irbis promote 3 --reason ...`.")
    version, previous = tracking.get_version(number), tracking.champion()
    if previous and previous.version == version.version:
        return f"{version} is already champion"
    set_champion(tracking, version, reason)
    return f"{version} is champion" + (f" instead of {previous}" if previous else "")


def rollback(tracking: Tracking, reason: str) -> str:
    """Make the previous champion the champion again; return a message.

    Repeated rollbacks go further back: from a version restored by a rollback to the champion before its own promotion.
    """
    champion = tracking.get_version(CHAMPION)
    promotions = [promotion for promotion in promotion_history(champion) if not promotion.is_rollback]
    if not promotions or promotions[-1].previous is None:
        raise ModelError(
            f"{champion} has no recorded previous champion. Choose one: `irbis promote VERSION --reason ...`."
        )
    version = tracking.get_version(promotions[-1].previous)
    set_champion(tracking, version, reason, is_rollback=True)
    return f"{version} is champion again, instead of {champion}"


def _current_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in the list of users
        return "unknown"
