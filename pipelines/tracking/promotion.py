"""Who made which version champion, when and why: written on the version itself, so that it can be taken back."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from pipelines.errors import ModelError
from pipelines.tracking.mlflow_client import CHALLENGER, CHAMPION, ModelVersion, Tracking

PROMOTIONS_TAG = "crowned"  # the tag


@dataclass(frozen=True)
class Promotion:
    """Hold one moment at which a version became champion; `before` is the version that was it until then."""

    by: str
    at: str  # ISO 8601, UTC
    reason: str
    previous: str | None
    is_rollback: bool = False


def promotion_history(version: ModelVersion) -> list[Promotion]:
    """Give the moments at which a version became champion, the first one first."""
    return [Promotion(**each) for each in json.loads(version.tags.get(PROMOTIONS_TAG, "[]"))]


def set_champion(tracking: Tracking, version: ModelVersion, why: str, *, is_rollback: bool = False) -> None:
    """Make a version champion, and write on it who did so, when and why. It is challenger no longer."""
    before = tracking.champion()
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    crowning = Promotion(_current_user(), now, why, before.version if before else None, is_rollback)
    # The tag first: killed in between, a version says that it was crowned, and the champion is the old one.
    tracking.tag(
        version, **{PROMOTIONS_TAG: json.dumps([asdict(each) for each in (*promotion_history(version), crowning)])}
    )
    challenger = tracking.challenger()
    if challenger and challenger.version == version.version:
        tracking.delete_alias(CHALLENGER)  # first, for the same reason: nobody is to be both
    tracking.set_alias(version, CHAMPION)


def promote(tracking: Tracking, wanted: str, why: str) -> str:
    """Make the version of this number champion, whatever the gate said of it; give what was done."""
    if wanted == CHAMPION:
        raise ModelError("Give the version by its number, such as `irbis promote 3 --reason ...`.")
    version, before = tracking.get_version(wanted), tracking.champion()
    if before and before.version == version.version:
        return f"{version} is champion already"
    set_champion(tracking, version, why)
    return f"{version} is champion" + (f" instead of {before}" if before else "")


def rollback(tracking: Tracking, why: str) -> str:
    """Make the version champion that was it before the present one; give what was done.

    A second time it goes one further back: a version that came by a rollback is left for the one before its own
    promotion.
    """
    champion = tracking.get_version(CHAMPION)
    made = [each for each in promotion_history(champion) if not each.is_rollback]
    if not made or made[-1].previous is None:
        raise ModelError(
            f"{champion} does not say which version was champion before it. "
            "Name one: `irbis promote VERSION --reason ...`."
        )
    version = tracking.get_version(made[-1].previous)
    set_champion(tracking, version, why, is_rollback=True)
    return f"{version} is champion again, instead of {champion}"


def _current_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
