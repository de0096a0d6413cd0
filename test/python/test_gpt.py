"""generate() of the C++ GPT-2 against transformers' on the same weights."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("TORCH_HPU_PROGRAMS", ROOT / "build" / "programs")) / "generate"
VOCABULARY, POSITIONS = 60, 32
ENGINES: dict[str, dict[str, Any]] = {
    "cpu": {"device": "cpu"},
    "hpu": {"device": "hpu", "graphs": False},
    "graphs": {"device": "hpu", "graphs": True},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=POSITIONS,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.4,  # scores that differ by more than rounding does
        bos_token_id=None,
        eos_token_id=None,
    )
    path = tmp_path_factory.mktemp("gpt")
    GPT2LMHeadModel(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder: pathlib.Path) -> GPT2LMHeadModel:
    return GPT2LMHeadModel.from_pretrained(folder).eval()


def generate(folder: pathlib.Path, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    (folder / "tasks.json").write_text(json.dumps(tasks))
    environment = {**os.environ, "TORCH_HPU_TIER": "compiled", "TORCH_HPU_CACHE_BYTES": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [PROGRAM, folder, folder / "tasks.json"], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def prompt(batch: int, tokens: int) -> list[list[int]]:
    return torch.randint(0, VOCABULARY, (batch, tokens), generator=torch.Generator().manual_seed(batch * 100 + tokens)).tolist()


def test_greedy_equals_transformers(folder: pathlib.Path, model: GPT2LMHeadModel) -> None:
    cases = [(1, 1, 31), (1, 5, 20), (3, 7, 12), (2, 30, 2), (2, 4, 1), (1, 6, 0)]
    tasks = [{**engine, "ids": prompt(b, t), "new": n, "temperature": 0} for b, t, n in cases for engine in ENGINES.values()]
    answers = iter(generate(folder, tasks))
    for b, t, n in cases:
        ids = torch.tensor(prompt(b, t))
        expected = (
            ids if n == 0 else model.generate(ids, do_sample=False, max_new_tokens=n, pad_token_id=0, attention_mask=torch.ones_like(ids))
        )
        assert expected.shape == (b, t + n)
        for engine in ENGINES:
            assert next(answers).get("tokens") == expected.tolist(), (b, t, n, engine)


def test_sampling_depends_on_the_seed_alone(folder: pathlib.Path) -> None:
    def task(engine: str, **options: Any) -> dict[str, Any]:
        return {**ENGINES[engine], "ids": prompt(4, 3), "new": 25, "temperature": 3.0, "seed": 5, **options}

    variants: list[dict[str, Any]] = [{}, {"top_k": 7}, {"top_k": 1000}, {"temperature": 0.3}]
    tasks = [task(engine, **v) for v in variants for engine in ENGINES]
    tasks += [task("graphs", seed=6), task("graphs"), task("cpu", temperature=0), task("cpu", top_k=1), task("cpu", temperature=1e-30)]
    answers = [a["tokens"] for a in generate(folder, tasks)]
    for i in range(0, 12, 3):
        assert answers[i] == answers[i + 1] == answers[i + 2], variants[i // 3]
    assert answers[0] == answers[6]  # more than all are all
    assert len({str(a) for a in answers[:13:3]}) == 4  # two of five are alike
    assert answers[13] == answers[0]
    assert answers[14] == answers[15] == answers[16]


def test_chosen_tokens_are_among_the_likeliest(folder: pathlib.Path, model: GPT2LMHeadModel) -> None:
    ids = prompt(8, 2)
    (answer,) = generate(folder, [{**ENGINES["graphs"], "ids": ids, "new": 30, "temperature": 2.0, "top_k": 5, "seed": 1}])
    tokens = torch.tensor(answer["tokens"])
    assert tokens[:, :2].tolist() == ids
    with torch.no_grad():
        scores = model(tokens).logits
    likeliest = scores[:, 1:-1].topk(5).indices
    assert (likeliest == tokens[:, 2:, None]).any(-1).all()
    assert (likeliest[..., 0] != tokens[:, 2:]).any()


def test_one_graph_for_all_positions(folder: pathlib.Path) -> None:
    for new in (3, 25):
        (answer,) = generate(folder, [{**ENGINES["graphs"], "ids": prompt(2, 4), "new": new, "temperature": 0}])
        assert answer["graph_captures"] == 1
        assert answer["graph_replays"] >= new - 2
        assert answer["compilations"] <= 4, new  # the prompt's, the step's, and what makes the cache
    (eager,) = generate(folder, [{**ENGINES["hpu"], "ids": prompt(2, 4), "new": 25, "temperature": 0}])
    assert eager["graph_captures"] == 0 and eager["compilations"] <= 4


ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"ids": prompt(1, 30), "new": 3}, r"\[generate\] 30 tokens and 3 new ones are more than n_positions = 32"),
    ({"ids": prompt(1, 33), "new": 0}, r"33 tokens and 0 new ones are more than n_positions = 32"),
    ({"ids": [[]]}, r"\[generate\] input_ids: got Long \[1, 0\], expected int64 \[1 row or more, 1 token or more\]"),
    ({"ids": []}, r"\[generate\] input_ids: got Long \[0, 1\], expected int64 \[1 row or more"),
    ({"ids": [[1, 2]], "dtype": "int32"}, r"\[generate\] input_ids: got Int \[1, 2\], expected int64"),
    ({"ids": [[1, 2]], "dtype": "flat"}, r"\[generate\] input_ids: got Long \[2\], expected int64"),
    ({"ids": [[1, 60]]}, r"\[generate\] input_ids: got token 60, expected 0 to 59"),
    ({"ids": [[-1, 2]]}, r"\[generate\] input_ids: got token -1, expected 0 to 59"),
    ({"new": -1}, r"max_new_tokens: got -1, expected 0 or more"),
    ({"temperature": -0.5}, r"temperature: got -0\.5, expected 0 or more"),
    ({"top_k": -1}, r"top_k: got -1, expected 0 or more"),
]


def test_errors_and_what_they_leave(folder: pathlib.Path) -> None:
    tasks = [{**ENGINES[e], "ids": [[1, 2]], "new": 5, "training": True, **given} for given, _ in ERRORS for e in ("cpu", "graphs")]
    good = {**ENGINES["graphs"], "ids": [[1, 2]], "new": 5, "training": True}
    answers = generate(folder, [*tasks, good])
    for i, (_, words) in enumerate(ERRORS):
        for answer in answers[2 * i : 2 * i + 2]:
            assert re.search(words, answer.get("error", "")), (words, answer)
            assert answer["training"], "the mode is the caller's again"
    assert "tokens" in answers[-1] and answers[-1]["training"]
