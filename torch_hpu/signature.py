"""What decides whether a captured graph fits a call: the structure of nested arguments, apart from their tensors and numbers."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from torch_hpu import _C


def flatten(value: Any, tensors: list[torch.Tensor], numbers: list[int | float] | None = None) -> Any:
    """A hashable description of a nested value. Its tensors are appended to ``tensors``, and when ``numbers`` is given its ints and floats to
    that; in the description only their places are left. Everything else stands there by value."""
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return "tensor"
    if isinstance(value, collections.abc.Mapping):
        return (type(value), tuple((k, flatten(v, tensors, numbers)) for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        return (type(value), tuple(flatten(v, tensors, numbers) for v in value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (type(value), tuple((f.name, flatten(getattr(value, f.name), tensors, numbers)) for f in dataclasses.fields(value)))
    if numbers is not None and type(value) in (int, float):
        numbers.append(value)
        return type(value)
    if type(value) is float:
        return (float, repr(value))  # nan is itself, and -0.0 is not 0.0
    try:
        hash(value)
    except TypeError:
        return (type(value), id(value))
    return (type(value), value)


def rebuild(value: Any, tensors: Callable[[], torch.Tensor], numbers: Callable[[], Any] | None = None) -> Any:
    """``value`` with its tensors (and numbers) replaced by what the functions return, asked in the order of ``flatten``."""
    if isinstance(value, torch.Tensor):
        return tensors()
    if isinstance(value, collections.abc.Mapping):
        items = {k: rebuild(v, tensors, numbers) for k, v in value.items()}
        return items if type(value) is dict else type(value)(**items) if hasattr(value, "to_tuple") else type(value)(items)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(rebuild(v, tensors, numbers) for v in value))
    if isinstance(value, (list, tuple)):
        return type(value)(rebuild(v, tensors, numbers) for v in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{f.name: rebuild(getattr(value, f.name), tensors, numbers) for f in dataclasses.fields(value)})
    if numbers is not None and type(value) in (int, float):
        return numbers()
    return value


def tensors_of(value: Any) -> list[torch.Tensor]:
    tensors: list[torch.Tensor] = []
    flatten(value, tensors)
    return tensors


def signature(tensors: list[torch.Tensor]) -> tuple[int, ...]:
    """Dtypes, devices, shapes, strides of tensors and how they share memory."""
    return tuple(_C.StaticInputs.signature(tensors))


def context() -> tuple[Any, ...]:
    """What a captured graph depends on besides arguments: the modes that change what ops are called."""
    return (torch.is_autocast_enabled("hpu"), torch.get_autocast_dtype("hpu"), torch.is_inference_mode_enabled())


def input_hash(value: Any) -> int:
    """A hash of the signature of nested inputs: structure, the tensors' signature, and the values of everything else."""
    tensors: list[torch.Tensor] = []
    return hash((flatten(value, tensors), signature(tensors)))


def copy_to(dst: Any, src: Any) -> None:
    """Copies the tensors of ``src`` into those of ``dst``, which must be nested the same way."""
    to: list[torch.Tensor] = []
    given: list[torch.Tensor] = []
    if _shape(flatten(dst, to)) != _shape(flatten(src, given)):
        raise ValueError("copy_to: source and destination are not nested the same way")
    for d, s in zip(to, given, strict=True):
        d.copy_(s, non_blocking=True)


def _shape(description: Any) -> Any:
    """A description with the values of plain leaves left out."""
    if description == "tensor":
        return description
    kind, content = description
    if issubclass(kind, (list, tuple)):
        return (kind, tuple(_shape(c) for c in content))
    if issubclass(kind, collections.abc.Mapping) or dataclasses.is_dataclass(kind):
        return (kind, tuple((k, _shape(c)) for k, c in content))
    return kind
