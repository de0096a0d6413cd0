"""``torch.hpu``: devices, streams, events, memory, random numbers and graphs of the hpu device.

Names and semantics are those of ``torch.cuda``; ``mark_step`` and ``wrap_in_hpu_graph`` are Gaudi's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Self

import torch

from torch_hpu import _C
from torch_hpu.graph_cache import CachedParams, wrap_in_hpu_graph, wrap_in_hpu_graph_func
from torch_hpu.graph_training import ModuleCacher, make_graphed_callables
from torch_hpu.graphs import HPUGraph, graph, graph_pool_handle, is_current_stream_capturing
from torch_hpu.signature import copy_to, input_hash

__all__ = [
    "CachedParams", "Event", "HPUGraph", "ModuleCacher", "Stream", "StreamContext", "copy_to", "current_device", "current_stream", "default_stream", "device", "device_count",
    "device_of", "eager_mode", "empty_cache", "get_amp_supported_dtype", "get_device_name", "get_rng_state", "get_rng_state_all",
    "graph", "graph_pool_handle", "init", "initial_seed", "input_hash", "is_available", "is_bf16_supported", "is_current_stream_capturing",
    "is_initialized", "make_graphed_callables", "manual_seed", "manual_seed_all", "mark_step", "max_memory_allocated",
    "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_reserved", "memory_stats", "reset_peak_memory_stats", "seed",
    "set_device", "set_rng_state", "set_rng_state_all", "set_stream", "stream", "synchronize", "wrap_in_hpu_graph",
    "wrap_in_hpu_graph_func",
]  # fmt: skip

Device = torch.device | int | str | None


def _index(device: Device) -> int:
    """The index of a device argument; None is the current device. Raises ValueError for a device of another type."""
    if device is None:
        return current_device()
    if isinstance(device, int):
        return device
    device = torch.device(device)
    if device.type != "hpu":
        raise ValueError(f"expected an hpu device, got {device}")
    return current_device() if device.index is None else device.index


# devices


def init() -> None:
    """Nothing to do: the device is ready when the package is loaded."""


def is_initialized() -> bool:
    return True


def is_available() -> bool:
    """Whether there is a device. Never raises."""
    return _C.device_count() > 0


def device_count() -> int:
    return _C.device_count()


def current_device() -> int:
    return _C.current_device()


def set_device(device: Device) -> None:
    _C.set_device(_index(device))


def get_device_name(device: Device = None) -> str:
    """The host's processor: the device's engine."""
    _check_index(_index(device))
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return f"hpu ({line.split(':', 1)[1].strip()})"
    return "hpu (host)"


def _check_index(index: int) -> None:
    if not 0 <= index < device_count():
        raise ValueError(f"invalid device index {index}: there are {device_count()} devices")


class device:
    """Context manager: makes a device current. A negative index or None leaves it as it is."""

    def __init__(self, device: Device) -> None:
        self.index = -1 if device is None else _index(device)
        self.previous = -1

    def __enter__(self) -> Self:
        self.previous = current_device()
        if self.index >= 0:
            set_device(self.index)
        return self

    def __exit__(self, *exc: object) -> None:
        set_device(self.previous)


class device_of(device):
    """Context manager: makes the device of a tensor current; no effect for tensors elsewhere."""

    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__(tensor.device if tensor.device.type == "hpu" else None)


def synchronize(device: Device = None) -> None:
    """Waits until the device has finished everything that was recorded; raises what failed meanwhile."""
    if device is None:
        _C.synchronize()
    else:
        with _scope(device):
            _C.synchronize()


def _scope(dev: Device) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext() if dev is None else device(dev)


def mark_step(device_str: str = "", sync: bool = False) -> None:
    """Hands what is recorded on the current stream to the compiler and the device; returns at once (``sync``: waits)."""
    _C.mark_step()
    if sync:
        _C.synchronize()


@contextlib.contextmanager
def eager_mode(enabled: bool = True) -> Iterator[None]:
    """Within it, ops of this thread run one at a time on generic kernels; nothing is compiled."""
    previous = _C.exchange_eager_mode(1 if enabled else 0)
    try:
        yield
    finally:
        _C.exchange_eager_mode(previous)


# streams and events


class Stream(torch.Stream):
    """A queue of work, in order; independent of other streams."""

    def __new__(cls, device: Device = None, priority: int = 0, **kwargs: Any) -> Self:
        if "stream_id" in kwargs:
            return super().__new__(cls, priority=priority, **kwargs)
        return super().__new__(cls, device=torch.device("hpu", _index(device)), priority=priority)


def Event(enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> torch.Event:
    """A point in a stream's order; with ``enable_timing`` a time stamp too."""
    return torch.Event(device="hpu", enable_timing=enable_timing)


def current_stream(device: Device = None) -> torch.Stream:
    return torch._C._accelerator_getStream(_index(device))


def default_stream(device: Device = None) -> torch.Stream:
    return torch.Stream(stream_id=0, device_index=_index(device), device_type=_DEVICE_TYPE)


_DEVICE_TYPE = int(torch._C._autograd.DeviceType.PrivateUse1)


def set_stream(stream: torch.Stream | None) -> None:
    if stream is not None:
        torch._C._accelerator_setStream(stream)


class StreamContext:
    """Context manager: makes a stream current; None leaves it as it is."""

    def __init__(self, stream: torch.Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            self.previous = current_stream(self.stream.device_index)
            set_stream(self.stream)

    def __exit__(self, *exc: object) -> None:
        if self.stream is not None:
            set_stream(self.previous)


def stream(stream: torch.Stream | None) -> StreamContext:
    return StreamContext(stream)


# memory


def memory_stats(device: Device = None) -> dict[str, int]:
    """Statistics of the allocator under ``torch.cuda.memory_stats``' names, plus ``packed_bytes.current``."""
    return _C.memory_stats(_index(device))


def memory_allocated(device: Device = None) -> int:
    return memory_stats(device)["allocated_bytes.all.current"]


def max_memory_allocated(device: Device = None) -> int:
    return memory_stats(device)["allocated_bytes.all.peak"]


def memory_reserved(device: Device = None) -> int:
    return memory_stats(device)["reserved_bytes.all.current"]


def max_memory_reserved(device: Device = None) -> int:
    return memory_stats(device)["reserved_bytes.all.peak"]


def reset_peak_memory_stats(device: Device = None) -> None:
    _C.reset_peak_memory_stats(_index(device))


def empty_cache() -> None:
    """Waits for the device and returns unused memory to the host."""
    _C.empty_cache()


def mem_get_info(device: Device = None) -> tuple[int, int]:
    """(free, total) bytes."""
    return _C.mem_get_info(_index(device))


# random numbers


def _generator(device: Device = None) -> torch.Generator:
    index = _index(device)
    _check_index(index)
    return _C.default_generator(index)


def manual_seed(seed: int) -> None:
    """Seeds the generator of the current device."""
    _generator().manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    for index in range(device_count()):
        _generator(index).manual_seed(int(seed))


def seed() -> None:
    """Seeds the generator of the current device from the system's entropy."""
    _generator().seed()


def initial_seed() -> int:
    return _generator().initial_seed()


def get_rng_state(device: Device = None) -> torch.Tensor:
    """16 bytes: seed and offset."""
    return _generator(device).get_state()


def set_rng_state(new_state: torch.Tensor, device: Device = None) -> None:
    _generator(device).set_state(new_state)


def get_rng_state_all() -> list[torch.Tensor]:
    return [get_rng_state(index) for index in range(device_count())]


def set_rng_state_all(new_states: list[torch.Tensor]) -> None:
    for index, state in enumerate(new_states):
        set_rng_state(state, index)


def _is_in_bad_fork() -> bool:
    return _C.is_in_bad_fork()


# precision


def is_bf16_supported() -> bool:
    return True


def get_amp_supported_dtype() -> list[torch.dtype]:
    return [torch.bfloat16, torch.float16]
