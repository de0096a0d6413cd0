"""torch_hpu: an HPU-style device for PyTorch.

``import torch`` loads this package by itself (entry point ``torch.backends``). Afterwards ``torch.device("hpu")`` works and
``torch.hpu`` has the functions that ``torch.cuda`` users know, plus ``mark_step``.
"""

from __future__ import annotations

from torch_hpu._paths import cmake_prefix_path, include_paths, library_paths

__all__ = ["cmake_prefix_path", "include_paths", "library_paths"]
__version__ = "0.1.0"


def _autoload() -> None:
    """Registers the device with torch; called by ``import torch``, harmless when called again."""
    from torch_hpu import _register

    _register.register()


def __getattr__(name: str):  # torch_hpu.metrics, torch_hpu.debug: loaded on first use, because they need torch
    if name in ("hpu", "metrics", "debug", "graphs", "compile_cache"):
        import importlib

        return importlib.import_module(f"torch_hpu.{name}")
    raise AttributeError(f"module 'torch_hpu' has no attribute {name!r}")


# Whichever module of the package is imported first, the device is registered before it: the others need each other in an order of their own.
import torch  # noqa: F401
