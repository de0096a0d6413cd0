"""Extensions built with torch.utils.cpp_extension: a custom op that joins the lazy graph, and a program that uses the C++ API."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import threading

import pytest
import torch
from torch.utils.cpp_extension import load

import torch_hpu

SOURCE = pathlib.Path(__file__).parent / "extension.cpp"


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]  # ninja
    (library,) = torch_hpu.library_paths()
    return load(
        name="hpu_extension",
        sources=[str(SOURCE)],
        extra_include_paths=torch_hpu.include_paths(),
        extra_cflags=["-O1", "-std=c++20"],
        extra_ldflags=[f"-L{library}", "-ltorch_hpu", f"-Wl,-rpath,{library}"],
        build_directory=str(tmp_path_factory.mktemp("extension")),
    )


def test_a_custom_op_joins_the_graph(extension, counters):
    x = torch.randn(5)
    expected = 2 * x * x + 1
    for _ in range(2):  # its Meta kernel tells the shape: nothing has to run first
        counters()
        torch.testing.assert_close((torch.ops.hpu_test.double_square(x.to("hpu")) + 1).cpu(), expected)
        moved = counters()
        assert moved["flushes"] == 1 and moved["extern_calls"] == 1
        assert moved["breaking_calls"] == 0 and moved["infer_calls"] == 0


def test_the_answer_of_a_meta_kernel_is_remembered_when_that_is_safe(extension):
    x = torch.randn(3, 5, device="hpu")
    calls = extension.meta_calls()
    for _ in range(4):
        torch.ops.hpu_test.double_square(x)
    assert extension.meta_calls() == calls + 1
    x, calls = torch.arange(3.0), extension.meta_calls()
    for times in (2.0, 3.0, 2.0):  # numbers are no part of the key
        torch.testing.assert_close(torch.ops.hpu_test.repeated(x.to("hpu"), times).cpu(), x.repeat(int(times)))
    assert extension.meta_calls() == calls + 3


def test_a_custom_op_that_writes_its_argument(extension, counters):
    x = torch.ones(3, device="hpu")
    for i in range(1, 3):
        result, before = torch.ops.hpu_test.bump(x)
        assert result is x or result.data_ptr() == x.data_ptr()
        assert before.tolist() == [i] * 3 and x.tolist() == [i + 1] * 3
    assert counters()["breaking_calls"] == 0


def test_a_custom_op_without_meta_runs_at_once(extension, counters):
    for values in ([1.0, -1.0, 2.0], [-1.0, -1.0, 2.0]):  # equal shapes, other results
        x = torch.tensor(values)
        assert torch.ops.hpu_test.positives(x.to("hpu")).tolist() == x[x > 0].tolist()
    assert counters()["breaking_calls"] == 2


def test_custom_ops_in_a_capture(extension):
    x = torch.ones(3, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        y = torch.ops.hpu_test.double_square(x + 1)
    for i in range(1, 3):
        x.fill_(i)
        graph.replay()
        assert y.tolist() == [2 * (i + 1) ** 2] * 3


@pytest.fixture
def library():
    library = torch.library.Library("hpu_python_test", "FRAGMENT")
    yield library
    library._destroy()


def test_a_python_kernel_runs_on_the_calling_thread(library, counters):
    threads = []

    def kernel(x):
        threads.append(threading.get_ident())
        assert x.device.type == "cpu"
        return x + 1

    library.define("inline(Tensor x) -> Tensor")
    library.impl("inline", kernel, "CPU")
    x = torch.zeros(3, device="hpu")
    for _ in range(3):
        x = torch.ops.hpu_python_test.inline(x) * 1
        torch.hpu.mark_step()
    assert x.tolist() == [3, 3, 3] and set(threads) == {threading.get_ident()}
    assert counters()["breaking_calls"] == 3


def test_a_python_meta_of_a_native_kernel_is_asked_each_time(extension, counters):
    library = torch.library.Library("hpu_test", "IMPL")
    calls = []

    def meta(x):
        calls.append(x.shape)
        return x.new_empty(x.shape)

    library.impl("positives", meta, "Meta")
    try:
        x = torch.ones(4, device="hpu")
        counters()
        for _ in range(2):
            assert torch.ops.hpu_test.positives(x).tolist() == [1] * 4
        moved = counters()
        assert len(calls) == 2 and moved["breaking_calls"] == 0 and moved["extern_calls"] == 2
    finally:
        library._destroy()


def test_an_op_that_is_defined_anew():
    for signature, function, result in (
        ("again(Tensor x) -> Tensor", lambda x: x + 1, 2.0),
        ("again(Tensor x, int n=5) -> Tensor", lambda x, n=5: x + n, 6.0),
    ):
        library = torch.library.Library("hpu_python_test", "FRAGMENT")
        library.define(signature)
        library.impl("again", function, "CPU")
        assert torch.ops.hpu_python_test.again(torch.ones(1, device="hpu")).item() == result
        library._destroy()
        with contextlib.suppress(AttributeError):
            del torch.ops.hpu_python_test.again


def test_the_decorator_of_torch_library(counters):
    @torch.library.custom_op("hpu_python_test::decorated", mutates_args=())
    def decorated(x: torch.Tensor) -> torch.Tensor:
        return x.sin() * 2

    @decorated.register_fake
    def _(x):
        return torch.empty_like(x)

    x = torch.randn(4)
    torch.testing.assert_close(decorated(x.to("hpu")).cpu(), x.sin() * 2)
    assert counters()["breaking_calls"] == 0  # the function itself records on the device


def test_the_cpp_api(extension):
    assert extension.train_a_little() < 0.05
