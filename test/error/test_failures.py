"""Errors that only show when recorded work runs (csrc/lazy/failure.h): who fails, who throws, what the message says, what heals it."""

from __future__ import annotations

import inspect

import pytest
import torch
import torch.nn.functional as F

from torch_hpu import debug

INDEX_ERROR = (IndexError, RuntimeError)


@pytest.fixture(autouse=True)
def usable_afterwards():
    yield
    assert (torch.ones(3, device="hpu") * 2).cpu().tolist() == [2, 2, 2]


def line() -> int:
    """The caller's line."""
    return inspect.currentframe().f_back.f_lineno


def failing() -> torch.Tensor:
    """Rows of a table of 10, one of them beyond its end: known only when it runs."""
    return F.embedding(torch.tensor([1, 50], device="hpu"), torch.ones(10, 4, device="hpu"))


@pytest.mark.parametrize("tier", ["compiled", "generic"])
def test_the_error_names_op_node_graph_and_line(tier):
    with debug.option("tier", tier):
        table, rows = torch.randn(10, 4, device="hpu"), torch.tensor([1, 50], device="hpu")
        torch.hpu.synchronize()
        doubled = table * 2
        picked, here = F.embedding(rows, doubled), line()
        result = picked.tanh() + 1
        with pytest.raises(INDEX_ERROR, match="(?i)index out of") as error:
            result.cpu()
    message = str(error.value)
    assert f"{__file__}:{here}" in message, message
    assert "aten::embedding" in message or "aten::index_select" in message, message
    assert "graph " in message and "node 1 " in message, message


def test_a_library_call_names_its_step_where_aten_finds_nothing_wrong():
    grad = torch.ops.aten.embedding_dense_backward(torch.ones(2, 4, device="hpu"), torch.tensor([1, 50], device="hpu"), 10, -1, False)
    with pytest.raises(IndexError, match=r"index 50 is out of range for 10 rows.*step 1 \(embedding_backward\) of graph [0-9a-f]{8}"):
        (grad + 1).cpu()


def test_integer_division_by_zero():
    zero = torch.zeros(3, device="hpu", dtype=torch.long)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        torch.div(torch.ones_like(zero), zero, rounding_mode="floor").cpu()


def test_the_first_synchronising_call_throws_and_the_next_does_not():
    rows = failing()
    torch.hpu.mark_step()
    with pytest.raises(INDEX_ERROR, match="(?i)index out of"):
        torch.hpu.synchronize()
    torch.hpu.synchronize()
    del rows


def test_dependants_fail_and_independent_work_goes_on():
    kept = torch.ones(4, device="hpu")
    torch.hpu.mark_step()  # a recipe fails as a whole
    rows = failing()
    torch.hpu.mark_step()
    dependant = rows.sum() + kept.sum()
    torch.hpu.mark_step()
    independent = kept * 3
    torch.hpu.mark_step()
    with pytest.raises(INDEX_ERROR):
        torch.hpu.synchronize()
    assert independent.tolist() == [3, 3, 3, 3] and kept.tolist() == [1, 1, 1, 1]
    for _ in range(2):  # reading throws again, and says the same
        with pytest.raises(INDEX_ERROR, match="embedding|index_select"):
            dependant.item()
        with pytest.raises(INDEX_ERROR, match="embedding|index_select"):
            rows.cpu()


def test_a_tensor_updated_in_place_by_the_failing_graph_has_failed():
    x = torch.ones(2, 4, device="hpu")
    torch.hpu.synchronize()
    x.add_(failing())
    with pytest.raises(INDEX_ERROR):
        x.cpu()


@pytest.mark.parametrize("overwrite", [
    lambda x: x.fill_(7),
    lambda x: x.zero_().add_(7),
    lambda x: x.copy_(torch.full((2, 4), 7.0)),
    lambda x: x.copy_(torch.full((2, 4), 7.0, device="hpu")),
    lambda x: torch.add(torch.full((2, 4), 6.0, device="hpu"), 1, out=x),
])  # fmt: skip
def test_overwriting_all_of_it_heals(overwrite):
    rows = failing()
    with pytest.raises(INDEX_ERROR):
        rows.cpu()
    overwrite(rows)
    assert rows.tolist() == [[7.0] * 4] * 2
    assert (rows + 1).sum().item() == 64


def test_overwriting_a_part_does_not_heal():
    rows = failing()
    with pytest.raises(INDEX_ERROR):
        rows.cpu()
    rows[0].fill_(7)
    with pytest.raises(INDEX_ERROR):
        rows.cpu()


def test_freeing_ends_the_matter():
    rows = failing()
    with pytest.raises(INDEX_ERROR):
        rows.cpu()
    del rows
    torch.hpu.synchronize()


def test_a_failing_replay():
    index = torch.tensor([1, 2], device="hpu")
    table = torch.ones(10, 4, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        rows = F.embedding(index, table) * 2
        here = line() - 1
    graph.replay()
    assert rows.sum().item() == 16
    index.fill_(50)
    graph.replay()
    with pytest.raises(INDEX_ERROR) as error:
        rows.cpu()
    assert f"{__file__}:{here}" in str(error.value)
    index.fill_(3)
    graph.replay()
    assert rows.sum().item() == 16


def test_another_stream_waits_for_a_failed_one():
    side = torch.hpu.Stream()
    with torch.hpu.stream(side):
        rows = failing()
        torch.hpu.mark_step()
    total = rows.sum()  # on the default stream
    with pytest.raises(INDEX_ERROR):
        total.item()
    with pytest.raises(INDEX_ERROR):
        side.synchronize()
    side.synchronize()


def test_eager_mode_throws_at_the_call():
    with torch.hpu.eager_mode(), pytest.raises(INDEX_ERROR, match="(?i)index out of"):
        failing()
