"""Find modules in other folders that shadow those of Python or irbis.

`irbis_entry` calls this before any other import, and imports of this module could be shadowed: hence only os and sys.
"""

from __future__ import annotations

import os
import sys

_MODULE = (".py", ".so", ".pyd")
# PYTHONPATH=$SPARK_HOME/python is documented by Spark; the other names are not imported by irbis.
_ALLOWED = {"pyspark", "py4j", "test", "tests", "docs", "examples", "setup", "conftest", "this", "idlelib"}


def python_path_faults(python_path: str) -> list[str]:
    """Return a fault for every folder of PYTHONPATH with modules that hide modules irbis needs."""
    found = []
    for folder in dict.fromkeys(part or "." for part in python_path.split(os.pathsep)) if python_path else ():
        if names := shadowing_modules(folder):
            found.append(
                f"PYTHONPATH contains {_absolute(folder)}, whose {_join_names(names)} "
                f"{'hide' if len(names) > 1 else 'hides'} the modules of the same name that irbis needs. "
                "Run it without: env -u PYTHONPATH irbis ..."
            )
    return found


def current_folder_faults(version: tuple[int, int], folder: str = ".") -> list[str]:
    """Return a fault if modules in the current folder would reach Spark's workers; from Python 3.11 on they do not."""
    if version >= (3, 11) or not (names := shadowing_modules(folder)):
        return []
    return [
        f"The current folder {_absolute(folder)} contains {_join_names(names)}, which Spark's Python "
        f"{version[0]}.{version[1]} workers would import instead of the modules that irbis needs. Run irbis from "
        "another folder, or use Python 3.11 or 3.12."
    ]


def shadowing_modules(folder: str) -> list[str]:
    """Return the sorted names of the modules in a folder that shadow those of Python or irbis; none for own folders."""
    here = os.path.realpath(folder)
    if here in (own := _own_folders()):
        return []
    needed = set(sys.stdlib_module_names) | {"pipelines"}
    for each in own:
        if os.path.basename(each) in ("site-packages", "dist-packages"):
            needed |= _modules(each)
    return sorted((_modules(here) & needed) - _ALLOWED)


def _own_folders() -> set[str]:
    """Return the folders that Python and this package are installed in."""
    version = "python{}.{}".format(*sys.version_info)
    folders = [os.path.join(sys.prefix, "lib", version, "site-packages"), os.path.join(sys.prefix, "Lib/site-packages")]
    folders += [os.path.dirname(os.__file__), os.path.abspath(os.path.join(__file__, "../../.."))]
    return {os.path.realpath(folder) for folder in folders}


def _modules(folder: str) -> set[str]:
    """Return the names of the modules and packages in a folder; a folder without __init__.py hides nothing."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return set()
    files = {each.name.partition(".")[0] for each in entries if each.name.endswith(_MODULE)}
    return files | {each.name for each in entries if os.path.isfile(os.path.join(each.path, "__init__.py"))}


def _join_names(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _absolute(folder: str) -> str:
    return os.path.abspath(folder)
