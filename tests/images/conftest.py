from __future__ import annotations

import pytest

from pipelines.images import webp


@pytest.fixture(autouse=True)
def trusted_webp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode WebP with an old libwebp too: these tests create their files themselves."""
    monkeypatch.setattr(webp, "SAFE_LIBWEBP", ())
