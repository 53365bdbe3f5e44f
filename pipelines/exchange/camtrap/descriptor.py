"""Describe a package: datapackage.json of Camtrap DP 1.0.2."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pipelines
from pipelines.config.settings import ExportSettings
from pipelines.exchange.camtrap.deployments import Deployment
from pipelines.exchange.observation_types import Meanings

STANDARD = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2"
PROFILE = f"{STANDARD}/camtrap-dp-profile.json"
METHODS = ("activityDetection", "timeLapse")
UNNAMED = "Contributor"  # where export.contributor is not set


def describe_package(
    deployments: Sequence[Deployment], meanings: Meanings, settings: ExportSettings, title: str, created_at: datetime
) -> bytes:
    """Return datapackage.json. `meanings`: observation type and scientific name of the exported labels.

    The key `irbis`, which the standard leaves free, says what the labels meant, so that an import finds them again.
    """
    names = sorted({name for _, name in meanings.values() if name})
    found: dict[str, Any] = {
        "resources": [_resource(name) for name in ("deployments", "media", "observations")],
        "profile": PROFILE,
        "name": _slug(title),
        "created": f"{created_at:%Y-%m-%dT%H:%M:%SZ}",
        "title": title,
        "contributors": [{"title": settings.contributor or UNNAMED, "role": "contributor"}],
        "sources": [{"title": "irbis", "version": pipelines.__version__}],
        "project": {
            "title": title,
            "samplingDesign": settings.sampling_design,
            "captureMethod": list(METHODS) if settings.capture_method == "both" else [settings.capture_method],
            "individualAnimals": False,
            "observationLevel": ["media", "event"],
        },
        "spatial": _spatial(deployments),
        "temporal": {
            "start": f"{min(each.start for each in deployments):%Y-%m-%d}",
            "end": f"{max(each.end for each in deployments):%Y-%m-%d}",
        },
        "taxonomic": [{"scientificName": name} for name in names],
        "irbis": {"labels": {label: _meaning(*meaning) for label, meaning in sorted(meanings.items())}},
    }
    if settings.coordinate_decimals is not None:
        found["coordinatePrecision"] = 10**-settings.coordinate_decimals
    return (json.dumps(found, ensure_ascii=False, indent=2) + "\n").encode()


def _resource(name: str) -> dict[str, str]:
    return {
        "name": name,
        "path": f"{name}.csv",
        "profile": "tabular-data-resource",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": f"{STANDARD}/{name}-table-schema.json",
    }


def _meaning(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "scientific_name": name} if name else {"type": kind}


def _slug(title: str) -> str:
    """Return a title as the name of a package: lower-case ASCII letters, digits, `-`, `.` and `_`."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._]+", "-", plain).strip("-.") or "images"


def _spatial(deployments: Sequence[Deployment]) -> dict[str, Any]:
    """Return the bounding box of the deployments, by their coordinates as they are published."""
    longitudes = [float(each.longitude) for each in deployments]
    latitudes = [float(each.latitude) for each in deployments]
    west, east, south, north = min(longitudes), max(longitudes), min(latitudes), max(latitudes)
    if west == east and south == north:
        return {"type": "Point", "coordinates": [west, south]}
    if west == east or south == north:
        return {"type": "LineString", "bbox": [west, south, east, north], "coordinates": [[west, south], [east, north]]}
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "bbox": [west, south, east, north], "coordinates": [corners]}
