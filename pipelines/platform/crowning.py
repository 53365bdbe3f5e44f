"""Who made which version champion, when and why: written on the version itself, so that it can be taken back."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from pipelines.errors import ModelError
from pipelines.platform.tracking import CHALLENGER, CHAMPION, ModelVersion, Tracking

CROWNED = "crowned"  # the tag


@dataclass(frozen=True)
class Crowning:
    """Hold one moment at which a version became champion; `before` is the version that was it until then."""

    by: str
    at: str  # ISO 8601, UTC
    why: str
    before: str | None
    is_rollback: bool = False


def crownings(version: ModelVersion) -> list[Crowning]:
    """Give the moments at which a version became champion, the first one first."""
    return [Crowning(**each) for each in json.loads(version.tags.get(CROWNED, "[]"))]


def crown(tracking: Tracking, version: ModelVersion, why: str, *, is_rollback: bool = False) -> None:
    """Make a version champion, and write on it who did so, when and why. It is challenger no longer."""
    before = tracking.champion()
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    crowning = Crowning(_person(), now, why, before.version if before else None, is_rollback)
    # The tag first: killed in between, a version says that it was crowned, and the champion is the old one.
    tracking.tag(version, **{CROWNED: json.dumps([asdict(each) for each in (*crownings(version), crowning)])})
    challenger = tracking.challenger()
    if challenger and challenger.version == version.version:
        tracking.withdraw(CHALLENGER)  # first, for the same reason: nobody is to be both
    tracking.name(version, CHAMPION)


def promote(tracking: Tracking, wanted: str, why: str) -> str:
    """Make the version of this number champion, whatever the gate said of it; give what was done."""
    if wanted == CHAMPION:
        raise ModelError("Give the version by its number, such as `irbis promote 3 --reason ...`.")
    version, before = tracking.choose(wanted), tracking.champion()
    if before and before.version == version.version:
        return f"{version} is champion already"
    crown(tracking, version, why)
    return f"{version} is champion" + (f" instead of {before}" if before else "")


def rollback(tracking: Tracking, why: str) -> str:
    """Make the version champion that was it before the present one; give what was done.

    A second time it goes one further back: a version that came by a rollback is left for the one before its own
    promotion.
    """
    champion = tracking.choose(CHAMPION)
    made = [each for each in crownings(champion) if not each.is_rollback]
    if not made or made[-1].before is None:
        raise ModelError(
            f"{champion} does not say which version was champion before it. "
            "Name one: `irbis promote VERSION --reason ...`."
        )
    version = tracking.choose(made[-1].before)
    crown(tracking, version, why, is_rollback=True)
    return f"{version} is champion again, instead of {champion}"


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
