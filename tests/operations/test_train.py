"""`train`: what a run folder holds, that it repeats to the byte, and that a failure leaves nothing."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel, get_peft_model_state_dict
from transformers import AutoModelForCausalLM, AutoTokenizer

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.reading import read_settings
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.methods import METHODS as TABLE
from fedrouter_sim.operations import train as train_module
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.route import RoutedModel
from fedrouter_sim.operations.train import Trained, train
from fedrouter_sim.operations.verify import SAME, verify
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.report.run_report import write_run_report
from fedrouter_sim.runs.checking import notes_in
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
BytesOf = Callable[[Path], dict[str, bytes]]
FIXED_KEYS = set(
    "method split clients seed metric cell scores task_scores routing_accuracy ari_local nmi_local ari_global"
    " nmi_global bytes_up bytes_down optimizer_steps tokens_trained truncated seconds peak_memory_bytes"
    " unseen_auroc unseen_auroc_per_task tasks_found tasks_born routing_ece updates_refused"
    " clients_dropped clients_late clients_joined rounds_skipped label_tasks".split()
)
METRICS = ["rouge1", "rouge2", "rouge_l", "exact_match", "balanced_accuracy", "macro_f1", "loss"]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def trained_by(micro_config: ConfigMaker, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """Return a function that trains one run a method."""
    folder, done = tmp_path_factory.mktemp("methods"), {}

    def run(method: str) -> Trained:
        if method not in done:
            done[method] = train(micro_config(method=method), folder / method, False, Display())
        return done[method]

    return run


def test_the_folder_holds_exactly_what_is_documented(finished_run: Path) -> None:
    expected = set(
        "config.toml manifest.json summary.json pools.json truth.json labels.json rounds.jsonl timings.jsonl"
        " router.json router.safetensors clients.safetensors sharing.safetensors samples.json".split()
    )
    adapter = ("adapter_config.json", "adapter_model.safetensors")
    expected |= {f"adapters/task_{task}/{name}" for task in range(4) for name in adapter}
    for update in Run(finished_run).updates():
        folder = f"updates/client_{update.client:03d}/group_{update.group}"
        expected |= {f"{folder}/{name}" for name in (*adapter, "update.json", "centroids.safetensors")}
    cells = ("own-global", "own-local", "all-global", "all-local", "all-oracle", "all-none")
    expected |= {f"eval/{cell}{suffix}" for cell in cells for suffix in (".json", ".jsonl")}
    found = {path.relative_to(finished_run).as_posix() for path in finished_run.rglob("*") if path.is_file()}
    assert found == expected
    assert [path.name for path in finished_run.parent.iterdir()] == [finished_run.name]


@pytest.mark.parametrize("method", TABLE.names)
def test_summary_has_its_fixed_keys(trained_by: Callable[[str], Trained], method: str) -> None:
    done = trained_by(method)
    summary, record = done.summary, json.loads((done.folder / "summary.json").read_text(encoding="utf-8"))
    assert record == summary.to_dict() and Run(done.folder).summary == summary
    assert set(record) == FIXED_KEYS
    routed = method == "fedrouter"
    for key in ("routing_accuracy", "routing_ece", "tasks_found", "ari_local", "nmi_local", "ari_global", "nmi_global"):
        assert (record[key] is not None) == routed, key
    records = lines(done.folder / "rounds.jsonl") if method != "base" else []
    for way in ("bytes_up", "bytes_down"):
        setup = record[way] - sum(of_round[way] for of_round in records)
        assert (setup > 0) == (routed or (method, way) == ("feddpa", "bytes_down")), way
    assert summary.optimizer_steps == sum(of_round["steps"] for of_round in records) == (0 if method == "base" else 32)
    assert summary.tokens_trained == sum(of_round["tokens"] for of_round in records)
    assert set(summary.seconds) == {"load", "setup", "train", "aggregate", "evaluate", "total"}
    assert summary.peak_memory_bytes > 1e7
    assert (summary.metric, summary.cell) == ("rouge1", "all-global" if routed else "all-fixed")
    assert list(summary.scores) == [result.cell.name for result in done.results]
    for result in done.results:
        assert list(summary.scores[result.cell.name]) == METRICS
        assert summary.score_in(result.cell.name) == result.mean["rouge1"]
        assert set(summary.task_scores_in(result.cell.name, "loss")) == {"opinion", "reverse", "sum", "title"}
    if method == "base":
        assert (summary.bytes_up, summary.bytes_down, summary.tokens_trained) == (0, 0, 0)
        assert summary.score == summary.score_in(summary.bare_cell)
        assert not (done.folder / "adapters").exists()


def test_rounds_and_timings(finished_run: Path) -> None:
    rounds, timings = lines(finished_run / "rounds.jsonl"), lines(finished_run / "timings.jsonl")
    assert [record["round"] for record in rounds] == [record["round"] for record in timings] == [1, 2]
    assert all("seconds" not in record and record["participants"] == [0, 1, 2, 3] for record in rounds)
    assert all(record["seconds"]["train"] > 0 for record in timings)


def test_the_same_seed_gives_the_same_bytes(
    micro_config: ConfigMaker, finished_run: Path, tmp_path: Path, trained_bytes: BytesOf
) -> None:
    torch.rand(3)  # the global generator is nobody's business
    again = trained_bytes(train(micro_config(), tmp_path / "again", False, Display()).folder)
    first = trained_bytes(finished_run)
    assert again.keys() == first.keys()
    assert len(first) > 30
    assert [name for name in first if first[name] != again[name]] == []
    other = trained_bytes(train(micro_config(seed=2), tmp_path / "other", False, Display()).folder)
    name = "adapters/task_0/adapter_model.safetensors"
    assert other[name] != first[name]


def test_config_alone_reruns_it(finished_run: Path, tmp_path: Path, trained_bytes: BytesOf) -> None:
    config = RunConfig.build(read_settings(finished_run / "config.toml"))
    again = train(config, tmp_path / "again", False, Display()).folder
    assert trained_bytes(again) == trained_bytes(finished_run)
    assert (again / "config.toml").read_bytes() == (finished_run / "config.toml").read_bytes()


def test_peft_opens_every_adapter_and_answers_as_route_does(finished_run: Path, micro_model: Path) -> None:
    run = Run(finished_run)
    run_data = partition_data(run.config)
    routed = list(RoutedModel(run).answer(example.instruction for example in run_data.shares.test))
    tokenizer = AutoTokenizer.from_pretrained(micro_model)
    assert {one.task for one in routed} == {pool.name for pool in run.pools}
    for pool in run.pools:
        base = AutoModelForCausalLM.from_pretrained(micro_model, dtype=torch.float32)
        model = PeftModel.from_pretrained(base, finished_run / "adapters" / pool.name).eval()
        for one in (one for one in routed if one.task == pool.name):
            ids = torch.tensor([tokenizer(one.text + "\n")["input_ids"]])
            output = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=pool.answer_tokens,
                do_sample=False,
                pad_token_id=tokenizer.eos_token_id,
            )
            assert tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True).strip() == one.answer


def test_manifest(finished_run: Path, micro_config: ConfigMaker) -> None:
    manifest = Run(finished_run).manifest
    assert manifest["data_sha256"] == partition_data(micro_config()).shares.digest()
    assert (manifest["format"], manifest["command"], manifest["seed"], manifest["own_sha256"]) == (2, "train", 1, {})
    assert {"torch", "peft", "faiss-cpu"} <= set(manifest["libraries"])
    assert manifest["wall_seconds"] > 0
    assert manifest["backbone"] == f"{Path(micro_config().model).name} (GPT2LMHeadModel)"


def test_a_refusal_leaves_nothing(micro_config: ConfigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise UserError("midway")

    monkeypatch.setattr(train_module, "_summary", fail)  # after training and evaluation
    with pytest.raises(UserError, match="midway"):
        train(micro_config(rounds=1), tmp_path / "runs" / "run", False, Display())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("failure", "said"),
    [(RuntimeError("no such\nkernel"), "RuntimeError: no such"), (UserError("--metric m: fails"), "--metric m: fails")],
)
def test_if_the_evaluation_fails_the_run_is_kept_and_evaluated_again(
    micro_config: ConfigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, said: str
) -> None:
    def fail(*arguments: Any) -> None:
        raise failure

    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(train_module, "score_cells", fail)
        with pytest.raises(UserError) as caught:
            train(micro_config(rounds=1), out, False, Display())
    assert str(caught.value) == (
        f"{out}: the run is trained and kept, and its evaluation failed ({said}); `fedrouter-sim eval {out}` evaluates "
        "it again"
    )
    run = Run(out)
    assert run.cells() == [] and run.summary.scores == {} and run.summary.optimizer_steps > 0
    evaluate(run)
    whole = train(micro_config(rounds=1), tmp_path / "whole", False, Display())
    cells = sorted(path.name for path in (whole.folder / "eval").iterdir())
    assert cells == sorted(path.name for path in (out / "eval").iterdir())
    for name in cells:
        assert (out / "eval" / name).read_bytes() == (whole.folder / "eval" / name).read_bytes()
    times = {"seconds": {}, "peak_memory_bytes": 0}
    assert replace(Run(out).summary, **times) == replace(run.summary, **times) == replace(whole.summary, **times)
    assert {check.state for check in verify(out)} == {SAME}
    assert "The run was not evaluated yet" not in write_run_report(Run(out)).read_text(encoding="utf-8")
    for pool in ("task_0", "task_3"):
        for key, value in run.adapter(pool).items():
            assert torch.equal(value, Run(whole.folder).adapter(pool)[key])


@pytest.mark.parametrize("model", ["micro", "tiny-gpt2"])
def test_stock_peft_loads_an_adapter_folder_with_its_base(
    micro_config: ConfigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    more = {} if model == "micro" else {"model": model}
    done = train(micro_config(rounds=1, local_steps=1, **more), tmp_path / "run", False, Display())
    monkeypatch.chdir(tmp_path)
    loaded = AutoPeftModelForCausalLM.from_pretrained(done.folder / "adapters" / "task_0")
    own = get_peft_model_state_dict(loaded)
    for key, value in Run(done.folder).adapter("task_0").items():
        assert torch.equal(own[key], value)


def test_a_failure_leaves_the_old_run(micro_config: ConfigMaker, run_copy: Path, trained_bytes: BytesOf) -> None:
    before = trained_bytes(run_copy)
    with pytest.raises(UserError, match="--tasks 99"):
        train(micro_config(tasks=99), run_copy, True, Display())
    assert trained_bytes(run_copy) == before
    assert [path.name for path in run_copy.parent.iterdir()] == [run_copy.name]


def test_an_existing_folder_is_refused_before_any_work(
    micro_config: ConfigMaker, run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "partition_data", lambda *_: pytest.fail("it worked all the same"))
    with pytest.raises(UserError, match=r"--out .*: is there already; .* --overwrite"):
        train(micro_config(), run_copy, False, Display())
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all my work", encoding="utf-8")
    for out in (precious, precious / "thesis.txt"):
        with pytest.raises(UserError, match="is not a run folder, so --overwrite leaves it alone"):
            train(micro_config(), out, True, Display())
    assert (precious / "thesis.txt").read_text(encoding="utf-8") == "all my work"


def test_overwrite_replaces_a_run(micro_config: ConfigMaker, run_copy: Path) -> None:
    train(micro_config(method="base"), run_copy, True, Display())
    assert Run(run_copy).config.method == "base"
    assert not (run_copy / "adapters").exists()
    assert [path.name for path in run_copy.parent.iterdir()] == [run_copy.name]


def test_what_a_method_keeps_comes_back(trained_by: Callable[[str], Trained]) -> None:
    for method, shape in (("feddpa", (5, 32)), ("clustered", (1,)), ("fedavg", None)):
        folder = trained_by(method).folder
        kept = Run(folder).deployment.state
        assert (folder / "kept.safetensors").exists() == bool(kept) == (shape is not None)
        assert {value.shape for value in kept.values()} == ({shape} if shape else set())


def test_display_hears_every_step_and_answer(micro_config: ConfigMaker, tmp_path: Path) -> None:
    class Counter(Display):
        def __init__(self) -> None:
            self.phases: list[tuple[str, int | None]] = []
            self.steps = self.answers = 0

        def started(self, what: str, total: int | None = None) -> None:
            self.phases.append((what, total))

        def advanced(self, units: int) -> None:
            self.answers += units

        def stepped(self, loss: float) -> None:
            self.steps += 1

    counter = Counter()
    train(micro_config(), tmp_path / "run", False, counter)
    assert counter.steps == 32
    assert counter.phases[-1] == ("answering test samples", counter.answers)


def test_notes_tell_of_cut_instructions(micro_config: ConfigMaker, tmp_path: Path) -> None:
    done = train(micro_config(max_tokens=20, rounds=1), tmp_path / "run", False, Display())
    assert done.summary.truncated["train"] > 0
    assert [note for note in done.notes if "cut to fit --max-tokens" in note]
    run = Run(done.folder)
    assert notes_in(run.manifest) == done.notes  # for whoever looks at the run later
    assert "instructions were cut to fit --max-tokens" in write_run_report(run).read_text(encoding="utf-8")
