from __future__ import annotations

import pytest

from pipelines.images import webp


@pytest.fixture(autouse=True)
def trusted_webp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode WebP under an old libwebp too, which a lane may have: these tests make their files themselves."""
    monkeypatch.setattr(webp, "SAFE_LIBWEBP", ())
