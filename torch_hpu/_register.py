"""Binds the device to torch, once per process."""

from __future__ import annotations

import os
import sys

_TORCH_VERSION = "2.13.0"


def register() -> None:
    import torch

    if getattr(torch, "hpu", None) is sys.modules.get("torch_hpu.hpu") and "torch_hpu.hpu" in sys.modules:
        return
    installed = torch.__version__.split("+")[0]
    if installed != _TORCH_VERSION:
        raise ImportError(
            f"torch_hpu was built for torch {_TORCH_VERSION}, but torch {installed} is installed. "
            f"Install the matching one (pip install torch=={_TORCH_VERSION}) or rebuild torch_hpu."
        )
    from torch_hpu import _C, distributed, hpu  # _C loads libtorch_hpu.so, which registers everything with the dispatcher

    # Messages name the user's line, not the library's.
    _C.set_library_folders([os.path.dirname(package) + os.sep for package in (torch.__file__, __file__)])

    torch._register_device_module("hpu", hpu)
    torch.utils.generate_methods_for_privateuse1_backend(for_tensor=True, for_module=True, for_packed_sequence=True)
    distributed.register_backend()
