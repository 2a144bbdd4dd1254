"""`export`: what other tools open answers as the run does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from fedrouter_sim.adapters.folders import load_adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations.export import export
from fedrouter_sim.operations.route import Routed, RoutedModel
from fedrouter_sim.operations.train import train
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def answered(finished_run: Path) -> list[Routed]:
    """What the run answers to the test instructions."""
    model = RoutedModel(finished_run)
    return list(model.answer(example.instruction for example in partition_data(model.run.config).shares.test))


def greedy(model: Any, tokenizer: Any, text: str, tokens: int) -> str:
    ids = torch.tensor([tokenizer(text + "\n")["input_ids"]])  # the micro runs' template is 'plain'
    output = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False,
        pad_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)).strip()


def test_merged_models_answer_as_the_run_does(finished_run: Path, answered: list[Routed], tmp_path: Path) -> None:
    done = export(finished_run, tmp_path / "merged", merged=True)
    assert list(done.folders) == [f"task_{task}" for task in range(4)]
    assert {one.task for one in answered} == set(done.folders)
    tokens = {pool.name: pool.answer_tokens for pool in Run(finished_run).pools}
    for task, folder in done.folders.items():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder)
        assert (type(model).__name__, model.dtype) == ("GPT2LMHeadModel", torch.float32)
        for one in (one for one in answered if one.task == task):
            assert greedy(model, tokenizer, one.text, tokens[task]) == one.answer


def test_a_merged_model_is_of_plain_files_without_a_path(finished_run: Path, tmp_path: Path) -> None:
    [folder] = export(finished_run, tmp_path / "merged", merged=True, pools=["task_2"]).folders.values()
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"} <= names
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors", ".md"}
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1  # whoever reads one may read all
    for name in names - {"README.md"}:
        assert str(tmp_path.parent).encode() not in (folder / name).read_bytes(), name


def test_merged_weights_take_the_type_that_is_asked_for(finished_run: Path, micro_model: Path, tmp_path: Path) -> None:
    [folder] = export(finished_run, tmp_path / "half", merged=True, pools=["task_0"], dtype="bfloat16").folders.values()
    half = AutoModelForCausalLM.from_pretrained(folder)
    assert half.dtype == torch.bfloat16
    adapter, alpha = load_adapter(finished_run / "adapters" / "task_0"), 4.0 / 2
    key = "transformer.h.1.attn.c_attn"
    a, b = (adapter[f"base_model.model.{key}.lora_{factor}.weight"] for factor in "AB")
    base = AutoModelForCausalLM.from_pretrained(micro_model).state_dict()[f"{key}.weight"]
    expected = (base + alpha * (b @ a).T).to(torch.bfloat16)  # merged in float32, then rounded once
    assert torch.equal(half.state_dict()[f"{key}.weight"], expected)


def test_peft_folders_are_the_runs_own_with_a_card(finished_run: Path, tmp_path: Path) -> None:
    done = export(Run(finished_run), str(tmp_path / "adapters"))
    for name, folder in done.folders.items():
        assert {path.name for path in folder.iterdir()} == {
            "adapter_config.json", "adapter_model.safetensors", "README.md",
        }  # fmt: skip
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            assert (folder / file).read_bytes() == (finished_run / "adapters" / name / file).read_bytes()
    record = json.loads((done.folder / "export.json").read_text(encoding="utf-8"))
    assert (record["merged"], record["dtype"], record["template"]) == (False, None, "plain")
    assert list(record["pools"]) == list(done.folders)


def test_several_adapters_in_one_peft_model_by_name(
    finished_run: Path, micro_model: Path, answered: list[Routed], tmp_path: Path
) -> None:
    folders = export(finished_run, tmp_path / "adapters").folders
    base = AutoModelForCausalLM.from_pretrained(micro_model)
    model = PeftModel.from_pretrained(base, folders["task_0"], adapter_name="task_0").eval()
    for name in ("task_1", "task_2", "task_3"):
        model.load_adapter(folders[name], adapter_name=name)
    tokenizer = AutoTokenizer.from_pretrained(micro_model)
    tokens = {pool.name: pool.answer_tokens for pool in Run(finished_run).pools}
    for one in answered:
        model.set_adapter(one.task)
        assert greedy(model, tokenizer, one.text, tokens[one.task]) == one.answer


def test_a_method_without_router_exports_its_pools(micro_config: ConfigMaker, tmp_path: Path) -> None:
    run = train(micro_config(method="local", rounds=1, local_steps=1), tmp_path / "local").folder
    done = export(run, tmp_path / "out", pools=["client_002", "client_000", "client_002"])
    assert list(done.folders) == ["client_000", "client_002"]
    assert sorted(path.name for path in done.folder.iterdir()) == ["client_000", "client_002", "export.json"]


def test_progress_is_told(finished_run: Path, tmp_path: Path) -> None:
    told: list[object] = []

    class Heard(Display):
        def started(self, what: str, total: int | None = None) -> None:
            told.append((what, total))

        def advanced(self, units: int) -> None:
            told.append(units)

    export(finished_run, tmp_path / "out", display=Heard())
    assert told == [("copying", 4), 1, 1, 1, 1]


def test_adapters_of_a_backbone_that_has_moved_name_where_it_is(
    run_copy: Path, micro_model: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(micro_model, tmp_path / "model"))
    done = export(Run(run_copy, model=model), tmp_path / "out", pools=["task_0"])
    config = json.loads((done.folders["task_0"] / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == str(model)
    with pytest.raises(UserError, match=r"--model tiny-gpt2: has changed since .*, or is another"):
        export(Run(run_copy, model="tiny-gpt2"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_is_there_is_replaced_only_if_it_is_an_export_and_that_is_wished(
    finished_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export(finished_run, out)
    with pytest.raises(UserError, match=r"--out .*: is there already; .*--overwrite"):
        export(finished_run, out)
    export(finished_run, out, pools=["task_3"], overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["export.json", "task_3"]
    other = tmp_path / "thesis"
    other.mkdir()
    with pytest.raises(UserError, match="is not an earlier export, so --overwrite leaves it alone"):
        export(finished_run, other, overwrite=True)


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    micro_config: ConfigMaker, run_copy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    base = train(micro_config(method="base"), tmp_path / "base").folder
    for run, options, words in (
        (base, {}, "method base trains no adapter"),
        (run_copy, {"pools": ["task_9"]}, r"--task task_9: .* has no such adapter; it has task_0, task_1"),
        (run_copy, {"merged": True, "dtype": "int8"}, "--dtype int8: choose one of float32"),
        (run_copy, {"dtype": "bfloat16"}, "--dtype bfloat16: is the type of merged weights; give --merged too"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            export(run, out, **options)
        assert "\n" not in str(caught.value)
    (run_copy / "adapters" / "task_3" / "adapter_model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="damaged"):
        export(run_copy, out)
    manifest = json.loads((run_copy / "manifest.json").read_text(encoding="utf-8"))
    (run_copy / "manifest.json").write_text(json.dumps(manifest | {"backbone_sha256": "0"}), encoding="utf-8")
    with pytest.raises(UserError, match=r"--model .*: has changed since"):
        export(run_copy, out, merged=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "copy"]
