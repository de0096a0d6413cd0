"""Every lowered and every library op has a row in some table of the op tests."""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

import torch
from op_rows import LAYOUTS, Row, Shaped, argument, tensors_of, to_device, values
from test_ops_pointwise import IN_PLACE
from test_ops_random import RANDOM
from torch.utils._python_dispatch import TorchDispatchMode

from torch_hpu import debug


def tables() -> list[Row | Shaped]:
    """All rows of the files test_ops_*.py, and of those for ops that move elements or images."""
    rows: list[Row | Shaped] = []
    folder = pathlib.Path(__file__).parent
    for path in sorted([*folder.glob("test_ops_*.py"), folder / "test_indexing.py", folder / "test_images.py"]):
        if path != pathlib.Path(__file__):
            for table in vars(importlib.import_module(path.stem)).values():
                rows += [r for r in table if isinstance(r, Row | Shaped)] if isinstance(table, list) else []
    return rows


# Ops with tests of their own, in another form than a row.
ELSEWHERE = {
    **dict.fromkeys(["_fused_adam_", "_fused_adam_.tensor_lr", "_fused_adamw_", "_fused_adamw_.tensor_lr"], "test_ops_optimizers.py"),
    **dict.fromkeys(["_fused_sgd_", "_fused_sgd_.tensor_lr"], "test_ops_optimizers.py"),
    **dict.fromkeys(["_fused_adagrad_", "_fused_adagrad_.tensor_lr"], "test_optimizers.py"),
    **dict.fromkeys(["bernoulli.Tensor", "cauchy", "geometric", "log_normal", "random", "random.from", "random.to"], "test_factories.py"),
    **dict.fromkeys(
        ["normal.Tensor_Tensor", "normal.Tensor_float", "normal.float_Tensor", "tril_indices", "triu_indices"], "test_factories.py"
    ),
    **dict.fromkeys(["_index_put_impl", "_unsafe_index_put"], "test_indexing.py"),  # lowered as index_put
    "native_dropout_backward": "test_lazy.py",
    "_scaled_dot_product_fused_attention_overrideable": "test_attention.py",
    "_scaled_dot_product_fused_attention_overrideable_backward": "test_attention.py",
}


class Seen(TorchDispatchMode):
    """The ops that reach the device, by name: "add.Tensor". In-place and out= overloads count for their functional twins, too."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.name().removeprefix("aten::"))
        return func(*args, **(kwargs or {}))


def call(function: Any, args: list[Any], wanted: list[int]) -> None:
    """Forward and, by the arguments `wanted`, backward."""
    ours = [to_device(a) for a in args]
    ours = [a.detach().requires_grad_() if i in wanted and a.is_floating_point() else a for i, a in enumerate(ours)]
    outputs = [o for o in tensors_of(function(*ours)) if o.requires_grad]
    if outputs:
        torch.autograd.backward(outputs, [torch.ones_like(o) for o in outputs])


# Functional overloads whose in-place form has another name.
RENAMED = {
    "normal_": "normal_functional",
    "bernoulli_.float": "bernoulli.p",
    "pow_.Tensor": "pow.Tensor_Tensor",
    "floor_divide_.Tensor": "floor_divide",
}


def functional_name(name: str) -> str:
    """Of an in-place overload: "add_.Tensor" -> "add.Tensor"."""
    if name in RENAMED:
        return RENAMED[name]
    base, dot, overload = name.partition(".")
    return base.removesuffix("_") + dot + overload


def writes(name: str) -> bool:
    base, _, overload = name.partition(".")
    return any(a.alias_info is not None and a.alias_info.is_write for a in torch._C._get_schema("aten::" + base, overload).arguments)


def ops_to_cover() -> set[str]:
    """Lowered and library ops; in-place and out= overloads are recorded as the functional ones."""
    classes = {name: kind for name, kind in debug.op_classes().items() if kind in ("lowered", "library")}
    in_place = {n for n in classes if n.partition(".")[0].endswith("_") and not n.startswith("__")}
    return {n for n in classes if not writes(n) or (n in in_place and functional_name(n) not in classes)}


def test_every_lowered_op_has_a_row() -> None:
    with debug.option("tier", "generic"), Seen() as seen:
        for row in tables():
            if row.name == "ctc":  # under a dispatch mode torch gives it lengths on the host
                continue
            if isinstance(row, Row):
                args = LAYOUTS["contiguous"](lambda s, r=row: values(s, r.dtypes[0], r.low, r.high), row.inputs)
                made = list(range(row.inputs))
            else:
                args = [argument(a, row.dtypes[0], row) for a in row.args]
                made = [i for i, a in enumerate(row.args) if not isinstance(a, torch.Tensor)]
            call(row.function, args, made if row.grad else [])
        for function in IN_PLACE:
            function(torch.rand(4, 6, device="hpu"))
        for function, _, _ in RANDOM.values():
            function(torch.rand(4, 6, device="hpu"))
    covered = seen.names | {functional_name(n) for n in seen.names} | set(ELSEWHERE)
    missing = sorted(ops_to_cover() - covered)
    assert not missing, f"lowered, but without a row: {missing}"
