"""Seeing what runs: one name for a graph everywhere, and the user's line beside every reason."""

from __future__ import annotations

import inspect
import json
import re

import torch
import torch.nn.functional as F
from torch import nn

from torch_hpu import debug, metrics


def line() -> int:
    return inspect.currentframe().f_back.f_lineno


def label_of(sentence: str) -> str:
    return re.match(r"graph ([0-9a-f]{8}) \(", sentence).group(1)


def test_a_graph_has_one_name_everywhere(tmp_path):
    trace = tmp_path / "trace.json"
    x = torch.randn(7, 11, device="hpu")
    torch.hpu.synchronize()
    with debug.option("dump", str(tmp_path)), debug.trace(str(trace)):
        y = (x.exp() @ x.t()).softmax(1) * 1.25
        y.cpu()
    label = label_of(debug.compilations()[-1])
    events = json.loads(trace.read_text())["traceEvents"]
    graphs = [e for e in events if e["name"] == f"graph {label}"]
    steps = [e for e in events if e["args"]["graph"] == label and e not in graphs]
    assert len(graphs) == 1 and len(steps) >= 2
    assert any("matmul" in e["name"] for e in steps)
    assert all(graphs[0]["ts"] <= e["ts"] and e["ts"] + e["dur"] <= graphs[0]["ts"] + graphs[0]["dur"] + 1e-3 for e in steps)
    assert list(tmp_path.glob(f"*.{label}.*.graph.txt"))
    assert "matmul" in debug.kernel_table() and label not in debug.kernel_table()


def test_replays_are_traced_too(tmp_path):
    x = torch.ones(4, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        y = x * 2
    graph.debug_dump(str(tmp_path / "graph.txt"))
    label = re.match(r"graph ([0-9a-f]{8})", (tmp_path / "graph.txt").read_text()).group(1)
    with debug.trace(str(tmp_path / "trace.json")):
        for _ in range(3):
            graph.replay()
        y.cpu()
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert sum(e["name"] == f"graph {label}" for e in events) == 3


def test_torch_profiler_shows_graphs_and_kernels():
    x = torch.randn(30, 30, device="hpu")
    (x @ x).tanh().cpu()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        (x @ x).tanh().cpu()  # this thread runs it
        y = (x @ x).tanh()
        torch.hpu.mark_step()  # the worker does
        torch.hpu.synchronize()
    del y
    names = [e.name for e in profiler.events()]
    assert sum(re.fullmatch(r"graph [0-9a-f]{8}", n) is not None for n in names) == 2
    assert any("matmul" in n for n in names)


def test_each_compilation_names_its_cause_and_line():
    def run(rows: int) -> int:
        x = torch.ones(rows, 3, device="hpu")
        torch.hpu.mark_step()
        y, here = torch.atan(x), line()
        y.cpu()
        return here

    run(2)
    before = metrics.details("compilations").get("shape", 0)
    here = run(5)
    reason = debug.compilations()[-1]
    assert "shape: [aten::atan] argument 'self' has shape [5, 3], in graph" in reason and "it was [2, 3]" in reason
    assert reason.endswith(f"recorded at {__file__}:{here}")
    assert metrics.details("compilations")["shape"] > before


def test_the_line_is_the_users_and_not_the_librarys():
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Hardswish(), nn.LayerNorm(4))).to("hpu")
    for batch in (2, 3):
        x = torch.randn(batch, 3, device="hpu")
        torch.hpu.mark_step()
        y = net(x)
        here = line() - 1
        F.silu(y).cpu()
    assert debug.compilations()[-1].endswith(f"recorded at {__file__}:{here}")


def test_an_evicted_recipe_says_so():
    x = torch.ones(5, device="hpu")
    torch.hpu.synchronize()
    with debug.option("recipe_cache", 2):
        for function in (torch.sin, torch.cos, torch.tan, torch.sin):
            function(x).cpu()
    assert "evicted: " in debug.compilations()[-1]


def test_causes_of_compilations_sum_up(counters):
    before = metrics.details("compilations")
    counters()
    for n in range(2, 6):
        (torch.ones(n, device="hpu") * n).erf().cpu()
    after = metrics.details("compilations")
    assert sum(after.values()) - sum(before.values()) == counters()["compilations"]
