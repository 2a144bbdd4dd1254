"""`train`: what a run folder holds, that it repeats to the byte, and that a failure leaves nothing."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from fedrouter_sim.config import RunConfig, read_settings
from fedrouter_sim.errors import UserError
from fedrouter_sim.methods import METHODS
from fedrouter_sim.operations import train as train_module
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.prepare import deal_data
from fedrouter_sim.operations.route import RoutedModel
from fedrouter_sim.operations.train import Display, Trained, train
from fedrouter_sim.runs.run_folder import Run

ConfigMaker = Callable[..., RunConfig]
BytesOf = Callable[[Path], dict[str, bytes]]
FIXED_KEYS = set(
    "method split clients seed rouge1 rouge1_per_task rouge1_base rouge1_base_per_task rouge1_per_cell"
    " routing_accuracy ari_local nmi_local ari_global nmi_global bytes_up bytes_down optimizer_steps tokens_trained"
    " truncated seconds peak_memory_bytes".split()
)


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
        "config.toml manifest.json summary.json pools.json truth.json rounds.jsonl timings.jsonl router.json"
        " router.safetensors samples.json".split()
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


@pytest.mark.parametrize("method", METHODS)
def test_summary_has_its_fixed_keys(trained_by: Callable[[str], Trained], method: str) -> None:
    done = trained_by(method)
    summary = json.loads((done.folder / "summary.json").read_text(encoding="utf-8"))
    assert summary == done.summary
    assert set(summary) == FIXED_KEYS
    routed = method == "fedrouter"
    for key in ("routing_accuracy", "ari_local", "nmi_local", "ari_global", "nmi_global"):
        assert (summary[key] is not None) == routed, key
    records = lines(done.folder / "rounds.jsonl") if method != "base" else []
    for way in ("bytes_up", "bytes_down"):
        setup = summary[way] - sum(record[way] for record in records)
        assert (setup > 0) == (routed or (method, way) == ("feddpa", "bytes_down")), way
    assert summary["optimizer_steps"] == sum(record["steps"] for record in records) == (0 if method == "base" else 32)
    assert summary["tokens_trained"] == sum(record["tokens"] for record in records)
    assert set(summary["seconds"]) == {"load", "setup", "train", "aggregate", "evaluate", "total"}
    assert summary["peak_memory_bytes"] > 1e7
    assert set(summary["rouge1_per_task"]) == {"opinion", "reverse", "sum", "title"}
    if method == "base":
        assert (summary["bytes_up"], summary["bytes_down"], summary["tokens_trained"]) == (0, 0, 0)
        assert summary["rouge1"] == summary["rouge1_base"]
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
    dealt = deal_data(run.config)
    routed = list(RoutedModel(run).answer(example.instruction for example in dealt.shares.test))
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
    assert manifest["data_sha256"] == deal_data(micro_config()).shares.digest()
    assert (manifest["format"], manifest["command"], manifest["seed"]) == (1, "train", 1)
    assert {"torch", "peft", "faiss-cpu"} <= set(manifest["libraries"])
    assert manifest["wall_seconds"] > 0
    assert manifest["backbone"] == f"{Path(micro_config().model).name} (GPT2LMHeadModel)"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, UserError])
def test_a_failure_leaves_nothing(
    micro_config: ConfigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    def fail(*arguments: Any) -> None:
        raise failure("midway")

    monkeypatch.setattr(train_module, "summarise", fail)  # after training and evaluation
    with pytest.raises(failure, match="midway"):
        train(micro_config(rounds=1), tmp_path / "run", False, Display())
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_run(micro_config: ConfigMaker, run_copy: Path, trained_bytes: BytesOf) -> None:
    before = trained_bytes(run_copy)
    with pytest.raises(UserError, match="--tasks 99"):
        train(micro_config(tasks=99), run_copy, True, Display())
    assert trained_bytes(run_copy) == before
    assert [path.name for path in run_copy.parent.iterdir()] == [run_copy.name]


def test_an_existing_folder_is_refused_before_any_work(
    micro_config: ConfigMaker, run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "deal_data", lambda config: pytest.fail("it worked all the same"))
    with pytest.raises(UserError, match=r"--out .*: is there already; .* --overwrite"):
        train(micro_config(), run_copy, False, Display())
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all my work", encoding="utf-8")
    for out in (precious, precious / "thesis.txt"):
        with pytest.raises(UserError, match="is no run folder, so --overwrite leaves it alone"):
            train(micro_config(), out, True, Display())
    assert (precious / "thesis.txt").read_text(encoding="utf-8") == "all my work"


def test_overwrite_replaces_a_run(micro_config: ConfigMaker, run_copy: Path) -> None:
    train(micro_config(method="base"), run_copy, True, Display())
    assert Run(run_copy).config.method == "base"
    assert not (run_copy / "adapters").exists()
    assert [path.name for path in run_copy.parent.iterdir()] == [run_copy.name]


def drifting(config: RunConfig, out: Path, backbone: Any, **changes: Any) -> Trained:
    return train(dataclasses.replace(config, **changes), out, False, Display(), backbone)


@pytest.mark.parametrize("method", ["fedrouter", "clustered"])
def test_a_drift_leaves_the_rounds_before_it_and_the_router(
    micro_config: ConfigMaker, backbone: Any, tmp_path: Path, method: str
) -> None:
    config = micro_config(method=method, rounds=3, local_steps=3, warmup_rounds=1, tasks=3)
    plain = drifting(config, tmp_path / "plain", backbone)
    drifted = drifting(config, tmp_path / "drifted", backbone, drift_at=3, drift_to="single")
    before, after = ((done.folder / "rounds.jsonl").read_bytes().splitlines() for done in (plain, drifted))
    assert [one == two for one, two in zip(before, after, strict=True)] == [True, True, False]
    for name in ("router.json", "router.safetensors"):
        assert (plain.folder / name).exists() == (method == "fedrouter")
        if method == "fedrouter":
            assert (drifted.folder / name).read_bytes() == (plain.folder / name).read_bytes()
    cells = {result.cell.name: result for result in drifted.results}
    own = [name for name in cells if name.startswith("drift-")]
    assert own == (["drift-global", "drift-local"] if method == "fedrouter" else ["drift-fixed"])
    for client in range(4):
        assert len({answer.task for answer in cells[own[0]].answers if answer.client == client}) == 1
    assert set(drifted.summary["rouge1_per_cell"]) == set(cells)
    truth = Run(drifted.folder).truth
    assert truth is not None
    # What the final pools were trained on: all 80 rows before the drift and 80 after it.
    assert sum(sum(counts.values()) for counts in truth.pools.values()) == 160
    again = {result.cell.name: result.mean for result in evaluate(Run(drifted.folder), Display()).results}
    assert again == {name: result.mean for name, result in cells.items() if not name.endswith(("-none", "-oracle"))}


@pytest.mark.parametrize("method", ["fedrouter", "feddpa"])
def test_a_drift_after_the_last_round_changes_the_test_data_alone(
    micro_config: ConfigMaker, backbone: Any, tmp_path: Path, trained_bytes: BytesOf, method: str
) -> None:
    config = micro_config(method=method, local_steps=3)
    plain = drifting(config, tmp_path / "plain", backbone)
    drifted = drifting(config, tmp_path / "drifted", backbone, drift_at=3, drift_to="single")
    assert trained_bytes(drifted.folder) == trained_bytes(plain.folder)
    more = set(drifted.summary["rouge1_per_cell"]) - set(plain.summary["rouge1_per_cell"])
    assert more == ({"drift-global", "drift-local"} if method == "fedrouter" else {"drift-fixed"})
    kept = {name: drifted.summary["rouge1_per_cell"][name] for name in plain.summary["rouge1_per_cell"]}
    assert kept == plain.summary["rouge1_per_cell"]


def test_a_held_out_task_is_scored_in_a_cell_of_its_own(
    micro_config: ConfigMaker, backbone: Any, tmp_path: Path
) -> None:
    config = micro_config(hold_out="sum", tasks=3, rounds=1)
    done = drifting(config, tmp_path / "run", backbone)
    by_cell = {result.cell.name: result for result in done.results}
    assert [name for name in by_cell if name.startswith("held-out")] == ["held-out-global", "held-out-local"]
    for name, result in by_cell.items():
        held = name.startswith("held-out")
        assert ({answer.task for answer in result.answers} == {"sum"}) == held
        assert held or "sum" not in result.per_task
    assert by_cell["held-out-global"].mean.samples == 6
    assert by_cell["held-out-global"].routing_accuracy is None  # no adapter was trained on it
    truth = Run(done.folder).truth
    assert truth is not None
    assert not any("sum" in counts for counts in truth.pools.values())


def test_what_a_method_keeps_comes_back(trained_by: Callable[[str], Trained]) -> None:
    for method, shape in (("feddpa", (5, 32)), ("clustered", (1,)), ("fedavg", None)):
        folder = trained_by(method).folder
        kept = Run(folder).deployment.kept
        assert (folder / "kept.safetensors").exists() == bool(kept) == (shape is not None)
        assert {value.shape for value in kept.values()} == ({shape} if shape else set())


def test_validation_curve(micro_config: ConfigMaker, tmp_path: Path, trained_bytes: BytesOf) -> None:
    done = train(micro_config(eval_every=2, rounds=3), tmp_path / "curve", False, Display())
    found = [record["validation"] for record in lines(done.folder / "rounds.jsonl")]
    assert [value is None for value in found] == [True, False, True]
    assert {"rouge1", "loss", "rouge1/sum", "rouge1/title"} <= set(found[1])
    silent = train(micro_config(rounds=3), tmp_path / "silent", False, Display()).folder
    one, two = trained_bytes(done.folder), trained_bytes(silent)
    assert all(one[name] == two[name] for name in one if name != "rounds.jsonl")  # looking changes nothing


def test_the_validation_curve_follows_the_plan(micro_config: ConfigMaker, backbone: Any, tmp_path: Path) -> None:
    for method, rounds in (("clustered", 2), ("feddpa", 4)):
        config = micro_config(method=method, eval_every=1, warmup_rounds=1, local_steps=2)
        records = lines(drifting(config, tmp_path / method, backbone).folder / "rounds.jsonl")
        assert len(records) == rounds
        assert all(record["validation"]["rouge1"] >= 0 for record in records)


def test_the_validation_curve_does_not_look_at_test_rows(
    micro_config: ConfigMaker, micro_data: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(micro_data, tmp_path / "data"))
    rows = [row | {"response": "changed"} for row in lines(data / "test.jsonl")]
    (data / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    curves = [
        lines(train(micro_config(eval_every=1, data=str(d)), tmp_path / n, False, Display()).folder / "rounds.jsonl")
        for n, d in (("one", micro_data), ("two", data))
    ]
    assert curves[0] == curves[1]
    (data / "validation.jsonl").unlink()
    with pytest.raises(UserError, match="--eval-every 1: the data has no validation share"):
        train(micro_config(eval_every=1, data=str(data)), tmp_path / "three", False, Display())


@pytest.mark.parametrize("normalize", ["none", "l2", "standardize"])
def test_more_clients_than_test_rows(
    micro_config: ConfigMaker, micro_data: Path, tmp_path: Path, normalize: str
) -> None:
    data = Path(shutil.copytree(micro_data, tmp_path / "data"))
    few = (data / "test.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:3]
    (data / "test.jsonl").write_text("".join(few), encoding="utf-8")
    done = train(micro_config(data=str(data), normalize=normalize, rounds=1), tmp_path / "run", False, Display())
    [main] = [result for result in done.results if result.cell.name == "all-global"]
    assert list(main.per_client) == [0, 1, 2]


def test_unlabelled_data(micro_config: ConfigMaker, micro_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for path in micro_data.iterdir():
        rows = [{key: row[key] for key in ("instruction", "response")} for row in lines(path)]
        (data / path.name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = train(micro_config(data=str(data), split="all", rounds=1), tmp_path / "run", False, Display())
    for key in ("rouge1_per_task", "routing_accuracy", "ari_local", "ari_global"):
        assert done.summary[key] is None
    assert Run(done.folder).truth is None


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
    assert done.summary["truncated"]["train"] > 0
    assert [note for note in done.notes if "cut to fit --max-tokens" in note]
