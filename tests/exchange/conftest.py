from __future__ import annotations

import pytest

from .made import make_survey


@pytest.fixture
def survey(tables):
    make_survey(tables)
    return tables
