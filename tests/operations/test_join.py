"""Clients that trained elsewhere: their folders give a run that routes, answers and is evaluated."""

import json
import re
import shutil
from collections.abc import Callable
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from inside import backbone_of, clients_of
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from fedrouter_sim.adapters.folders import load_adapter, save_adapter
from fedrouter_sim.adapters.state import adapter_digest
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.operations.aggregate import aggregate
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.join import aggregate_folders
from fedrouter_sim.operations.route import RoutedModel
from fedrouter_sim.operations.train import train
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.report.run_report import write_run_report
from fedrouter_sim.runs.aggregated import Aggregated
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
BytesOf = Callable[[Path], dict[str, bytes]]
Gather = Callable[..., Aggregated]


@pytest.fixture(scope="module")
def raw_run(micro_config: ConfigMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose local centroids are raw, so that its updates have the form of folders from elsewhere."""
    config = micro_config(normalize="none", local_clusters=3, sharing="none", test_examples_per_client=1)
    return train(config, tmp_path_factory.mktemp("raw") / "run").folder


@pytest.fixture
def updates(raw_run: Path, tmp_path: Path) -> Path:
    """A copy of that run's updates, to be changed at will."""
    return Path(shutil.copytree(raw_run / "updates", tmp_path / "updates"))


@pytest.fixture
def gathered(micro_model: Path, tmp_path: Path) -> Gather:
    """Aggregate folders with the micro settings."""

    def run(*folders: Path, **options: Any) -> Aggregated:
        given = {"tasks": 4, "seed": 1, "template": "plain", "max_tokens": 128} | options
        return aggregate_folders(folders, tmp_path / "out", str(micro_model), **given)

    return run


def change(folder: Path, **record: Any) -> None:
    path = folder / "update.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | record), encoding="utf-8")


def texts_of(run: Run) -> list[str]:
    return [example.instruction for example in partition_data(run.config).shares.test]


def test_the_updates_of_a_run_give_its_adapters_router_and_answers(
    raw_run: Path, updates: Path, gathered: Gather, trained_bytes: BytesOf
) -> None:
    done = gathered(updates)
    first, second = trained_bytes(raw_run), trained_bytes(done.folder)
    assert done.notes == ["averaged factor by factor: all updates began with the same initial adapter"]
    # Of update folders there is no reach: it takes clients that answer.
    assert {name for name in second if second[name] != first[name]} == {"router.json", "router.safetensors"}
    was, now = Run(raw_run).router, Run(done.folder).router
    assert was is not None and now is not None and now.reach is None
    assert np.array_equal(was.centroids, now.centroids)
    assert first.keys() - second.keys() == {"rounds.jsonl"}
    for name in ("pools.json", "clients.safetensors"):
        assert (done.folder / name).read_bytes() == (raw_run / name).read_bytes()
    texts = texts_of(Run(raw_run))
    of_run, of_folders = ([*RoutedModel(run).answer(texts)] for run in (raw_run, done.folder))
    assert [replace(one, unseen=None, confidence=None) for one in of_run] == [
        replace(one, confidence=None) for one in of_folders
    ]
    # The folder is a run like others: its updates can be clustered again.
    again = aggregate(Run(done.folder), done.folder.with_name("again"), tasks=2)
    assert sum(again.updates_per_task) == sum(done.updates_per_task)


def test_adapters_of_stock_peft_with_the_least_beside_them(
    micro_model: Path, backbone: Backbone, tmp_path: Path, gathered: Gather
) -> None:
    """Another tool's folders: of different initial adapters and ranks, only in the first layer, clients 3 and 17."""
    texts = {3: ["11 + 12 = ?", "13 + 14 = ?"], 17: ["reverse: a b c d e", "reverse: e d c b a"]}
    for client, own in texts.items():
        model = AutoModelForCausalLM.from_pretrained(micro_model)
        lora = LoraConfig(r=client % 5, lora_alpha=6, target_modules=["c_attn"], layers_to_transform=[0])
        peft = get_peft_model(model, lora)
        for name, parameter in peft.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.5)
        folder = tmp_path / "elsewhere" / f"node-{client}"
        peft.save_pretrained(folder)
        (folder / "update.json").write_text(json.dumps({"client": client, "group": 0, "examples": 2}), encoding="utf-8")
        centroids = backbone.embed(own).mean(0, keepdims=True)
        save_file({"centroids": centroids, "sizes": np.array([2])}, folder / "centroids.safetensors")
    done = gathered(tmp_path / "elsewhere", tasks=2)
    assert done.aggregation == "product"
    assert done.notes[0].startswith("averaged by their products B A, with truncated SVD: ranks or scales differ")
    run = Run(done.folder)
    assert run.config.lora_targets == ("transformer.h.0.attn.c_attn",)
    assert (run.config.lora_rank, run.config.lora_alpha) == (3, 6)
    assert {path.parent.name for path in (done.folder / "updates").glob("*/*")} == {"client_003", "client_017"}
    model = RoutedModel(run)
    routed = {one.text: one.task for one in model.answer([text for own in texts.values() for text in own])}
    assert [routed[text] for text in (*texts[3], *texts[17])] == ["task_0"] * 2 + ["task_1"] * 2
    for task, client in (("task_0", 3), ("task_1", 17)):
        found, given = run.adapter(task), load_adapter(tmp_path / "elsewhere" / f"node-{client}")
        a, b = (f"base_model.model.transformer.h.0.attn.c_attn.lora_{factor}.weight" for factor in "AB")
        expected = 6 / given[a].shape[0] * given[b] @ given[a]
        torch.testing.assert_close(6 / 3 * found[b] @ found[a], expected, rtol=1e-4, atol=1e-5)


def test_other_beginnings_lose_something_and_say_how_much(raw_run: Path, updates: Path, gathered: Gather) -> None:
    change(next(updates.glob("*/*")), initial_sha256="of another adapter")
    done = gathered(updates)
    assert (done.aggregation, set(done.truncation_errors)) == ("product", {f"task_{task}" for task in range(4)})
    assert all(0 < error < 1 for error in done.truncation_errors.values())
    assert re.search(r"2 different initial adapters; lost by truncation: task_0 \d+\.\d\d%", done.notes[0])
    by_hand = aggregate(Run(raw_run), done.folder.with_name("by-hand"), aggregation="product")
    assert by_hand.truncation_errors == done.truncation_errors
    by_factors = gathered(updates, aggregation="mean", overwrite=True)
    assert (by_factors.aggregation, by_factors.truncation_errors) == ("mean", {})


def test_every_update_tells_the_digest_of_the_initial_adapter(raw_run: Path, backbone: Backbone) -> None:
    digests = {update.initial_sha256 for update in Run(raw_run).updates()}
    assert digests == {adapter_digest(backbone.initial_adapter(1))}


def test_sums_of_the_embeddings_standardise(run_method: Callable[..., Any], tmp_path: Path, gathered: Gather) -> None:
    simulated = run_method("fedrouter", local_clusters=3)
    plan, clients = simulated.outcome.stages[0].plan, clients_of(simulated.federation)
    groups = {(group.client, group.rank): group for group in plan.groups}
    for update in simulated.heard.updates[2]:
        group, client = groups[update.client, update.group], clients[update.client]
        folder = tmp_path / "updates" / f"{update.client}-{update.group}"
        save_adapter(folder, update.adapter, backbone_of(simulated.federation).peft_config)
        centroids, sizes = plan.archive.local_clusters(update.client, update.clusters)
        rows = client.embeddings[list(group.examples)].astype(np.float64)
        tensors = {"centroids": plan.router.normalizer.invert(centroids), "sizes": sizes}
        save_file(tensors | {"total": rows.sum(0), "total_squares": (rows**2).sum(0)}, folder / "centroids.safetensors")
        record = {"client": update.client, "group": update.group, "examples": len(rows), "clusters": update.clusters}
        (folder / "update.json").write_text(json.dumps(record), encoding="utf-8")
    run = Run(gathered(tmp_path / "updates").folder)
    router = run.router
    assert router is not None and run.archive is not None
    assert router.normalizer.kind == "standardize"
    np.testing.assert_allclose(router.normalizer.mean, plan.router.normalizer.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(router.normalizer.deviation, plan.router.normalizer.deviation, rtol=1e-4)
    np.testing.assert_allclose(router.centroids, plan.router.centroids, rtol=1e-3, atol=1e-3)
    assert run.archive.assignment == plan.archive.assignment


def test_it_is_evaluated_on_given_data_alone(
    updates: Path, gathered: Gather, micro_data: Path, backbone: Backbone
) -> None:
    for folder in updates.glob("*/*"):  # clients keep their numbers
        client = json.loads((folder / "update.json").read_text(encoding="utf-8"))["client"]
        change(folder, client=10 + 3 * client)
    run = Run(gathered(updates).folder)
    with pytest.raises(UserError, match=r"its data are not on disk \(trained elsewhere\); give test data with --data"):
        evaluate(run)
    results = evaluate(run, data=str(micro_data)).results
    assert {result.cell.name for result in results} == {"given-global", "given-local"}
    assert {client for result in results for client in result.per_client} == {10, 13, 16, 19}
    page = write_run_report(run).read_text(encoding="utf-8")
    assert "fedrouter" in page


def test_who_asks_goes_by_the_numbers_that_the_folders_give_the_clients(updates: Path, gathered: Gather) -> None:
    for folder in updates.glob("*/*"):
        client = json.loads((folder / "update.json").read_text(encoding="utf-8"))["client"]
        change(folder, client=10 + 3 * client)
    run = Run(gathered(updates).folder)
    assert run.archive is not None
    for client in (10, 13, 16, 19):
        [routed] = RoutedModel(run, client=client).route(["11 + 12 = ?"])
        assert routed.task in {f"task_{task}" for task in run.archive.tasks_of(client)}
    for client in (0, 3, 11, 20):
        with pytest.raises(UserError, match=rf"^--client {client}: "):
            RoutedModel(run, client=client)


def test_updates_of_several_rounds_all_count_and_are_noted(updates: Path, gathered: Gather) -> None:
    change(next(updates.glob("*/*")), round=1)
    done = gathered(updates)
    assert done.notes[1] == "the updates are of rounds 1 to 2; all of them were averaged"
    again = aggregate(Run(done.folder), done.folder.with_name("again"))
    assert again.updates_per_task == done.updates_per_task


def test_a_task_that_no_update_falls_to_takes_the_nearest_ones_adapter(
    updates: Path, gathered: Gather, same: Callable[..., bool]
) -> None:
    """One group whose two clusters fall to different tasks can fill only one of them."""
    folder = next(updates.glob("*/*"))
    rows = load_file(folder / "centroids.safetensors")["centroids"]
    far = np.concatenate([rows[:1], rows[:1] + 100]).astype(np.float32)
    save_file({"centroids": far, "sizes": np.array([9, 1])}, folder / "centroids.safetensors")
    change(folder, clusters=[0, 1], answer_tokens=[3, 4])
    done = gathered(folder, tasks=2)
    assert (done.updates_per_task, done.inherited) == ([1, 0], {"task_1": "task_0"})
    assert same(Run(done.folder).adapter("task_1"), Run(done.folder).adapter("task_0"))


def test_what_is_read_is_not_written_over(raw_run: Path, micro_model: Path) -> None:
    for folder in (raw_run, raw_run / "updates", raw_run.parent):
        with pytest.raises(UserError, match=r"--out .*: holds .*, which is averaged, and would be lost; choose"):
            aggregate_folders([folder], raw_run, str(micro_model), 4, overwrite=True)
    assert Run(raw_run).manifest["command"] == "train"


def test_a_rule_of_the_users_own_is_written_down_with_its_digest(
    updates: Path, gathered: Gather, tmp_path: Path
) -> None:
    file = tmp_path / "rule.py"
    code = "from fedrouter_sim.adapters.aggregation.mean import WeightedMean\n\n\n"
    file.write_text(f"{code}class Mine(WeightedMean):\n    name = 'mine'\n")
    with chdir(tmp_path):
        run = gathered(updates, aggregation="rule.py:Mine").folder
    assert Run(run).config.aggregation == f"{file}:Mine"
    assert aggregate(Run(run, trust_code=True), tmp_path / "again", tasks=3).aggregation == f"{file}:Mine"


def test_the_rule_and_its_options_are_written_down(updates: Path, gathered: Gather) -> None:
    config = Run(gathered(updates, aggregation="trimmed-mean", option=["trim=0.3"]).folder).config
    assert (config.aggregation, config.option) == ("trimmed-mean", ("trim=0.3",))


@pytest.mark.parametrize(
    "what", ["dimension", "twice", "module", "nan", "tasks", "normalize", "standardised", "dora", "dropout"]
)
def test_what_does_not_fit_is_refused_by_folder_and_leaves_nothing(
    what: str, updates: Path, gathered: Gather, finished_run: Path, tmp_path: Path
) -> None:
    folder = min(updates.glob("*/*"))
    given, options, words = [updates], {}, re.escape(str(folder))
    if what == "dimension":
        tensors = {"centroids": np.ones((1, 7), dtype=np.float32), "sizes": np.array([1])}
        save_file(tensors, folder / "centroids.safetensors")
        change(folder, clusters=[0], answer_tokens=[3])
        words += r": its centroids have 7 dimensions and embeddings of --model .* have 32"
    elif what == "twice":
        given.append(folder)
        words += r": is client 0, group 0, as .* is"
    elif what == "module":
        swapped = {key: value.T.contiguous() for key, value in load_adapter(folder).items()}
        renamed = {key.translate(str.maketrans("AB", "BA")): value for key, value in swapped.items()}
        save_adapter(folder, renamed, json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")))
        words += r": its adapter is for a module transformer.h.0.attn.c_attn of 96 inputs and 32 outputs"
    elif what == "nan":
        broken = {key: value * float("nan") for key, value in load_adapter(folder).items()}
        save_adapter(folder, broken, json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")))
        words += r"/adapter_model.safetensors: damaged \(.* is not finite\)"
    elif what == "tasks":
        options, words = {"tasks": 99}, "--tasks 99 is more than the"
    elif what == "normalize":
        options, words = {"normalize": "standardize"}, rf"--normalize standardize: {words} has no total"
    elif what == "standardised":
        given, words = [finished_run], r"group_0: not a usable update \(its centroids are standardised"
    elif what == "dropout":
        for path in updates.rglob("adapter_config.json"):
            path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_dropout": None}), encoding="utf-8")
        words = r": its adapter configuration is damaged \(lora_dropout must be a number, not null\)"
    else:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        (folder / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}), encoding="utf-8")
        words += r"/adapter_config.json: no plain LoRA adapter \(use_dora is set\)"
    with pytest.raises(UserError, match=words) as caught:
        gathered(*given, **options)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]
