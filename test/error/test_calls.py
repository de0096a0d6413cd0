"""One case per mistake that a user can make in a call: it raises there, says which op, what it got and what it expected, and the device works
afterwards."""

from __future__ import annotations

import itertools
import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

ERRORS = (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError)


@pytest.fixture(autouse=True)
def usable_afterwards():
    yield
    assert (torch.ones(3, device="hpu") * 2).cpu().tolist() == [2, 2, 2]


def ones(*sizes: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.ones(*sizes, device="hpu", dtype=dtype)


def long(*sizes: int) -> torch.Tensor:
    return ones(*sizes, dtype=torch.long)


def out_of(dtype: torch.dtype, *sizes: int) -> torch.Tensor:
    return torch.empty(*sizes, device="hpu", dtype=dtype)


def shifted_onto_itself(x: torch.Tensor) -> torch.Tensor:
    return x[1:].add_(x[:-1])


SHAPES = [
    (lambda: ones(2, 3) + ones(4), "add.Tensor.*size"),
    (lambda: ones(2, 3) @ ones(4, 5), "mm.*inner dimensions"),
    (lambda: torch.bmm(ones(2, 3, 4), ones(3, 4, 5)), "bmm"),
    (lambda: torch.addmm(ones(7), ones(2, 3), ones(3, 4)), "addmm"),
    (lambda: F.linear(ones(2, 3), ones(5, 4)), "mm"),
    (lambda: torch.dot(ones(2), ones(3)), "dot|size"),
    (lambda: F.conv2d(ones(1, 3, 8, 8), ones(4, 2, 3, 3)), "channels"),
    (lambda: F.conv2d(ones(1, 3, 2, 2), ones(4, 3, 5, 5)), "kernel size"),
    (lambda: torch.cat([ones(2, 3), ones(2, 4)]), "cat.*match"),
    (lambda: torch.stack([ones(2), ones(3)]), "stack.*equal size"),
    (lambda: ones(2, 2).view(3), "invalid for input of size"),
    (lambda: ones(2, 3).t().view(6), "view size is not compatible"),
    (lambda: ones(2, 2).reshape(3), "invalid for input of size"),
    (lambda: ones(2).expand(3), "expand"),
    (lambda: F.layer_norm(ones(2, 3), (4,)), "layer_norm|normalized_shape"),
    (lambda: F.batch_norm(ones(2, 3, 4), ones(5), ones(5)), "batch_norm|running_mean"),
    (lambda: F.cross_entropy(ones(4, 3), long(5)), "batch_size|batch size"),
    (lambda: torch.where(ones(2) > 0, ones(3), ones(3)), "where.*size|size.*match"),
    (lambda: ones(3).add_(ones(2, 3)), "add_.*broadcast"),
    (lambda: ones(3)[torch.ones(2, device="hpu", dtype=torch.bool)], "mask|index"),
    (lambda: torch.gather(ones(2, 3), 0, long(2, 3, 4)), "gather"),
]

SIZES = [
    (lambda: torch.empty(-1, device="hpu"), "negative"),
    (lambda: torch.zeros(2, -3, device="hpu"), "negative"),
    (lambda: ones(2).new_empty(-1), "negative"),
    (lambda: ones(2).resize_(-1), "negative"),
    (lambda: ones(4).narrow(0, 2, 5), "exceeds dimension size"),
    (lambda: ones(4).narrow(0, 2, -1), "non-negative"),
    (lambda: torch.empty(1 << 40, 1 << 40, device="hpu"), "overflow|invalid|size"),
    (lambda: torch.arange(5, 0, device="hpu"), "arange|bound"),
    (lambda: torch.linspace(0, 1, -2, device="hpu"), "non-negative"),
    (lambda: ones(3).as_strided((4,), (-1,)), "negative|stride"),
]

DIMS = [
    (lambda: ones(2, 3).sum(5), "out of range"),
    (lambda: ones(2, 3).transpose(0, 2), "out of range"),
    (lambda: ones(2, 3).softmax(2), "out of range"),
    (lambda: torch.cat([ones(2), ones(2)], 1), "out of range"),
    (lambda: ones(2, 3).permute(0, 0), "permute|dims"),
    (lambda: ones(2, 3).sum((0, 0)), "multiple times"),
    (lambda: ones(3)[7], "out of bounds"),
    (lambda: ones(3)[0, 0], "too many indices"),
    (lambda: ones(3, 3).select(1, 4), "select.*out of range"),
]

DEVICES = [
    (lambda: torch.mm(ones(2, 2), torch.ones(2, 2)), "mm.*cpu.*expected hpu"),
    (lambda: torch.ones(3) + ones(3), "add.Tensor.*cpu.*expected hpu"),
    (lambda: torch.cat([ones(2), torch.ones(2)]), "cat.*cpu.*expected hpu"),
    (lambda: nn.Linear(3, 2)(ones(4, 3)), "mm.*cpu.*expected hpu"),
    (lambda: nn.Linear(3, 2).to("hpu")(torch.ones(4, 3)), "mm.*cpu.*expected hpu"),
    (lambda: F.embedding(torch.tensor([1]), ones(3, 2)), "embedding|index_select.*cpu.*expected hpu"),
    (lambda: torch.add(ones(2), 1, out=torch.empty(2)), "add.*out.*cpu.*expected hpu"),
    (lambda: torch.ones(3).add_(ones(3)), "add_.*cpu.*expected hpu"),
    (lambda: torch.randn(3, device="hpu", generator=torch.Generator()), "generator.*cpu.*expected.*hpu"),
    (lambda: ones(3).normal_(generator=torch.Generator()), "generator.*cpu.*expected.*hpu"),
    (lambda: torch.randn(3, generator=torch.Generator("hpu")), "generator|hpu"),
    (lambda: torch.empty(2, device="hpu:7"), "hpu:7.*expected"),
    (lambda: ones(2).to("hpu:7"), "hpu:7|index 7"),
    (lambda: torch.hpu.set_device(7), "invalid device index 7"),
    (lambda: ones(2).numpy(), "can't convert.*hpu"),
    (lambda: torch.empty(2, device="hpu", pin_memory=True), "pinned"),
    (lambda: torch.empty(2, device="hpu", layout=torch.sparse_coo), "layout|sparse"),
]

DTYPES = [
    (lambda: long(3).add_(1.5), "add_.*cast"),
    (lambda: torch.add(ones(2), 1, out=out_of(torch.long, 2)), "cast"),
    (lambda: torch.sum(ones(2), 0, out=torch.empty((), device="hpu", dtype=torch.long)), "dtype|cast|type"),
    (lambda: long(2).softmax(0), "floating|implemented|Half"),
    (lambda: long(2).mean(), "mean.*(floating|dtype)"),
    (lambda: ones(2, 2) @ ones(2, 2, dtype=torch.float64), "same dtype|dtype"),
    (lambda: ~ones(2), "integer and Boolean"),
    (lambda: ones(3)[ones(2)], "index of dtype Float|indices must be"),
    (lambda: F.embedding(ones(2), ones(3, 2)), "indices|long|int"),
    (lambda: torch.gather(ones(3), 0, ones(2)), "gather.*int64"),
    (lambda: F.cross_entropy(ones(2, 3), ones(2, dtype=torch.int32)), "long|int"),
    (lambda: long(2).requires_grad_(), "floating point"),
    (lambda: F.conv2d(ones(1, 1, 3, 3), ones(1, 1, 2, 2, dtype=torch.float64)), "dtype|type"),
]

MEMORY = [
    (lambda: ones(1).expand(4).add_(1), "add_.*single memory location"),
    (lambda: torch.add(ones(4), 1, out=ones(1).expand(4)), "add.*single memory location"),
    (lambda: shifted_onto_itself(ones(4)), "add_.*single memory location"),
    (lambda: ones(4).as_strided((3,), (4,)), "out of bounds|storage"),
    (lambda: bool(ones(2) > 0), "ambiguous"),
    (lambda: ones(2).item(), "cannot be converted to Scalar"),
    (lambda: ones(2).requires_grad_().add_(1), "leaf Variable"),
]


@pytest.mark.parametrize("execution", ["lazy", "eager"])
@pytest.mark.parametrize(("call", "message"), SHAPES + SIZES + DIMS + DEVICES + DTYPES + MEMORY)
def test_a_wrong_call_raises_at_the_call(call, message, execution):
    with torch.hpu.eager_mode(execution == "eager"), pytest.raises(ERRORS, match=f"(?is){message}"):
        call()


def test_operands_are_unharmed():
    x = ones(3)
    with pytest.raises(RuntimeError):
        x.add_(ones(4))
    with pytest.raises(RuntimeError):
        torch.add(x, 1, out=torch.empty(3))
    assert x.tolist() == [1, 1, 1] and x._version == 0


def dtypes_refused_by(function, tensors: list[torch.Tensor], arity: int) -> list[tuple[torch.Tensor, ...]]:
    """The combinations of ``tensors`` that the CPU's kernels do not take."""
    refused = []
    for arguments in itertools.product(tensors, repeat=arity):
        try:
            function(*(x.clone() for x in arguments))
        except ERRORS:
            refused.append(arguments)
    return refused


UNARY = [
    "abs", "acos", "bitwise_not", "ceil", "digamma", "erf", "erfinv", "exp", "floor", "frac", "i0", "isneginf", "lgamma", "log", "neg",
    "nn.functional.celu", "nn.functional.gelu", "nn.functional.hardswish", "nn.functional.leaky_relu", "nn.functional.logsigmoid",
    "nn.functional.mish", "nn.functional.silu", "nn.functional.softplus", "relu", "round", "rsqrt", "sigmoid", "sign", "sinc", "tanh", "trunc",
]  # fmt: skip
BINARY = [
    "add", "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_xor", "copysign", "div", "eq", "floor_divide", "fmod", "gcd", "ge",
    "hypot", "igamma", "lcm", "logaddexp", "lt", "maximum", "mm", "nextafter", "nn.functional.mse_loss", "pow", "remainder", "sub", "xlogy",
]  # fmt: skip


@pytest.mark.parametrize("name", UNARY + BINARY)
def test_dtypes_are_refused_at_the_call(name: str) -> None:
    function = operator.attrgetter(name)(torch)
    tensors = [torch.full((2, 2), 1).to(dtype) for dtype in (torch.float32, torch.int64, torch.bool, torch.complex64)]
    for arguments in dtypes_refused_by(function, tensors, 2 if name in BINARY else 1):
        on_device = [x.to("hpu") for x in arguments]
        with pytest.raises(ERRORS):
            function(*on_device)  # nothing is read: the call itself raises


DTYPES = [
    (lambda: ones(3) & ones(3), "bitwise_and.*not implemented for 'Float'.*got Float, Float"),
    (lambda: long(3) << ones(3), "lshift.*not implemented for 'Float'"),
    (lambda: torch.where(ones(3), ones(3), ones(3)), "where.*condition"),
    (lambda: -ones(3, dtype=torch.bool), "neg.*bool"),
    (lambda: torch.gcd(ones(3), ones(3)), "gcd.*not implemented for 'Float'"),
    (lambda: long(3).uniform_(), "uniform.*not implemented for 'Long'"),
    (lambda: ones(3).masked_fill(ones(3) > 0, ones(3)), "masked_fill.*0-dim"),
    (lambda: F.gelu(long(3)), "gelu.*not implemented for 'Long'"),
    (lambda: ones(2, 2, dtype=torch.bool) @ ones(2, 2, dtype=torch.bool), "mm.*not implemented for 'Bool'"),
]


@pytest.mark.parametrize("index", range(len(DTYPES)))
def test_a_wrong_dtype_names_op_and_dtypes(index: int) -> None:
    call, message = DTYPES[index]
    with pytest.raises(ERRORS, match=message):
        call()
