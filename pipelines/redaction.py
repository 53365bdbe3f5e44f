"""Recognise and redact secrets: by their names, in texts that contain one, but not references to one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

SECRET_NAMES = (
    "secret|passw|passphrase|token|credential|(?:access|account|api|private)[._-]?key|connection[._-]?string"
    "|(?<![a-z])sas(?![a-z])"
)
SECRET_PATTERN = f"(?i){SECRET_NAMES}|(?<![a-z])sig="  # Spark's redaction pattern: it looks at names and at values
_NAME = re.compile(f"(?i){SECRET_NAMES}")
# Names that only say where a secret is, or how one is come by.
_ABOUT = re.compile(r"(?i)(file|path|provider|class|type|enabled)$|^spark\.kubernetes\.\w+\.secret(s|KeyRef)\.")
_REFERENCE = re.compile(r"\{\{\s*secrets/[^/}]+/[^/}]+\}\}|\$\{[^}]+\}|(?i:true|false|null|\s*)")
_LOGIN = re.compile(r"(://[^/@:\s]*:)\S+@")
_PART = re.compile(rf"(?i)([\w.-]{{0,80}}(?:{SECRET_NAMES}|signature)[\w.-]{{0,80}}[\"']?\s*[=:]\s*|\bsig=)[^&;\s]+")
MASK = "***"


def is_secret(name: str, value: Any = MASK) -> bool:
    """Return whether the value is a secret by its name; a reference to one is none, nor is true, false or nothing."""
    if value is None or (isinstance(value, (str, bool)) and _REFERENCE.fullmatch(str(value))):
        return False
    return bool(_NAME.search(name) and not _ABOUT.search(name))


def redact(value: Any) -> Any:
    """Return the value fit for printing: secrets in it replaced by ***, by name in mappings and texts of JSON."""
    if isinstance(value, Mapping):
        return {name: MASK if is_secret(str(name), item) else redact(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return _redact_text(value) if isinstance(value, str) else value


def contains_secret(name: str, value: Any) -> bool:
    """Return whether printing the value under this name would show a secret."""
    return bool(redact({name: value})[name] != value)


def _redact_text(text: str) -> str:
    if _REFERENCE.fullmatch(text):
        return text
    if text.lstrip()[:1] in ("{", "["):
        try:
            tree = json.loads(text)
        except ValueError:
            if text.lstrip()[0] == "{" and _NAME.search(text):  # where a value ends in it nobody knows
                return MASK
        else:
            return text if (shown := redact(tree)) == tree else json.dumps(shown, ensure_ascii=False)
    return _PART.sub(rf"\1{MASK}", _LOGIN.sub(rf"\1{MASK}@", text))
