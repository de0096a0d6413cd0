"""Extensions built with torch.utils.cpp_extension: a custom op that joins the lazy graph, and a program that uses the C++ API."""

from __future__ import annotations

import os
import pathlib
import sys

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

    def run():
        return torch.ops.hpu_test.double_square(x.to("hpu")) + 1

    torch.testing.assert_close(run().cpu(), expected)
    counters()
    torch.testing.assert_close(run().cpu(), expected)
    moved = counters()
    assert moved["flushes"] == 1 and moved["extern_calls"] == 1 and moved["breaking_calls"] == 0


def test_the_cpp_api(extension):
    assert extension.train_a_little() < 0.05
