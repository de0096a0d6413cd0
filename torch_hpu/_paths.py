"""Where the C++ side of the package is, for CMake and ``torch.utils.cpp_extension``."""

from __future__ import annotations

import os

_ROOT = os.path.dirname(os.path.abspath(__file__))

#: Add it to ``CMAKE_PREFIX_PATH``, then ``find_package(torch_hpu CONFIG)``.
cmake_prefix_path: str = os.path.join(_ROOT, "share", "cmake")


def include_paths() -> list[str]:
    """Folders for ``extra_include_paths`` of ``torch.utils.cpp_extension.load``."""
    return [os.path.join(_ROOT, "include")]


def library_paths() -> list[str]:
    """Folders that hold ``libtorch_hpu.so``, for ``-L`` and ``-rpath``."""
    return [os.path.join(_ROOT, "lib")]
