"""The tree of errors.

IrbisError               anything this package raises on purpose
├── UserError            errors the user can fix: one printed line, exit code 2
│   ├── SettingsError    unknown keys, wrong types, missing files of settings
│   ├── DataError        images, labels or tables that do not allow the step
│   ├── AccessError      a service denies access, or cannot be reached
│   ├── WeightsError     weights that are missing, broken or of another network
│   ├── ModelError       no champion, or one that does not fit the features
│   ├── NotebookError    a notebook that is not known, or one of whose cells failed
│   └── PlatformError    Java, Spark or its packages
└── ImageError           one image cannot be used: becomes a row with its failure
"""

from __future__ import annotations

from collections.abc import Iterable


class IrbisError(Exception):
    """Base of all errors that this package raises on purpose."""


class UserError(IrbisError):
    """Error with a message for the user: what is wrong, the value, what was expected, and the remedy.

    Takes one sentence, or all faults at once, which are printed one per line.
    """

    def __init__(self, faults: str | Iterable[str]):
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(self.faults))


class SettingsError(UserError):
    """A setting is unknown, of the wrong type, or its file cannot be read."""


class DataError(UserError):
    """Images, labels or tables do not allow the requested step."""


class AccessError(UserError):
    """A store or a service denies access, or cannot be reached."""


class WeightsError(UserError):
    """Weights are missing, broken, or belong to another network."""


class ModelError(UserError):
    """There is no model to use, or it does not fit the features."""


class NotebookError(UserError):
    """A notebook is not known, does not take a parameter, or one of its cells failed."""


class PlatformError(UserError):
    """Java, Spark or its packages are missing or do not fit."""


class ImageError(IrbisError):
    """One image cannot be used.

    `failure` is a name from `schemas.Failure`; `detail` holds the decoder's own words; `size` is width and height
    in pixels, where these are what is wrong.
    """

    def __init__(self, failure: str, detail: str = "", size: tuple[int, int] | None = None):
        self.failure = str(failure)
        self.detail = detail
        self.size = size
        super().__init__(f"{failure}: {detail}" if detail else str(failure))

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str, tuple[int, int] | None]]:
        return (type(self), (self.failure, self.detail, self.size))
