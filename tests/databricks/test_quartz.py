"""Cron lines of Quartz: what it takes, and what is said of the others."""

from __future__ import annotations

import pytest

from pipelines.databricks.quartz import validate_cron


@pytest.mark.parametrize(
    "line",
    [
        "0 0 2 * * ?",
        "0 0 2 ? * MON-FRI",
        "0 0/15 8-18 * * ? 2026-2030",
        "0 0,30 */2 ? JAN,jul 2#1",
        "59 59 23 LW 12 ?",
        "0 0 12 L-3 * ?",
        "0 0 12 15W * ?",
        "0 0 12 ? * 6L",
        "0 0 12 ? * friL",
    ],
)
def test_what_quartz_takes_has_no_fault(line):
    assert validate_cron(line) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("0 2 * * *", "it has 5 fields, and Quartz wants 6 or 7"),
        ("0 0 2 * * ? 2026 x", "it has 8 fields"),
        ("0 0 2 * * *", "exactly one of day-of-month (*) and day-of-week (*) should be ?"),
        ("0 0 2 ? * ?", "exactly one of day-of-month (?) and day-of-week (?) should be ?"),
        ("60 0 2 * * ?", "seconds: '60' is not 0 to 59"),
        ("0 0 24 * * ?", "hours: '24' is not 0 to 23"),
        ("0 0 2 0 * ?", "day-of-month: '0' is not 1 to 31"),
        ("0 0 2 * 13 ?", "month: '13' is not 1 to 12 or JAN to DEC"),
        ("0 0 2 ? * 0", "day-of-week: '0' is not 1 to 7 or SUN to SAT"),
        ("0 0 2 ? * MO", "day-of-week: 'MO' is not 1 to 7 or SUN to SAT"),
        ("0 0 2 ? * MON#6", "day-of-week: 'MON#6' is not"),
        ("0 */0 2 * * ?", "minutes: '*/0' has no step from 1 to 59 behind its slash"),
        ("0 ? 2 * * ?", "minutes: '?' is not 0 to 59"),
        ("0 0 2 1-2-3 * ?", "day-of-month: '1-2-3' is not"),
        ("0 0 2 * * ? 1969", "year: '1969' is not 1970 to 2099"),
    ],
)
def test_what_quartz_refuses_is_said_in_words(line, fault):
    assert validate_cron(line)[0].startswith(fault)
