"""How local systems put their changes in: `from producers import emit`.

The name below is the package's one public door. It is found on first use, so that importing a
single module of this package loads nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from producers.append import emit as emit

__all__ = ["emit"]


def __getattr__(name: str) -> Any:
    if name != "emit":
        raise AttributeError(name)
    import importlib

    return importlib.import_module("producers.append").emit
