"""A run folder from a stranger: nothing in it is run, followed, unpickled, or allocated before it is looked at."""

import json
import os
import pickle  # noqa: TID251  # planted, to be left alone
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from run_folders import read, write
from safetensors.numpy import load_file, save_file

from fedrouter_sim.adapters.folders import WEIGHTS_NAME
from fedrouter_sim.cli.settings import resolve_settings
from fedrouter_sim.config.reading import read_settings
from fedrouter_sim.errors import UserError
from fedrouter_sim.operations.aggregate import aggregate
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.export import export
from fedrouter_sim.operations.route import RoutedModel
from fedrouter_sim.operations.train import train
from fedrouter_sim.operations.verify import verify
from fedrouter_sim.report.run_report import write_run_report
from fedrouter_sim.runs.entries import TABLES
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.runs.update_folders import find_update_folders
from fedrouter_sim.studies.reading import open_comparison

USES: dict[str, Callable[[Path, Path], Any]] = {
    "eval": lambda run, out: evaluate(run),
    "eval-data": lambda run, out: evaluate(run, data="multitask"),
    "eval-option": lambda run, out: evaluate(run, option=["x=1"]),
    "route": lambda run, out: list(RoutedModel(run).route(["a text"])),
    "export": lambda run, out: export(run, out),
    "aggregate": lambda run, out: aggregate(run, out),
    "report": lambda run, out: write_run_report(Run(run)),
    "compare": lambda run, out: open_comparison([run]),
    "verify": lambda run, out: verify(run),
    "verify-rerun": lambda run, out: verify(run, rerun=train),
    "compare-option": lambda run, out: open_comparison([run], option=["x=1"]),
}


class Planted:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What a planted file makes if it is run."""
    return tmp_path / "it-ran"


def name_code(run: Path, setting: str, mark: Path, digest: bool) -> Path:
    """Have a run's setting name a file that leaves a mark, with its digest or without."""
    planted = run.parent / f"planted_{setting}.py"
    planted.write_text(f"open({str(mark)!r}, 'w').close()\nclass X: name = 'x'\n", encoding="utf-8")
    value = f"{planted}:X"
    extra = {"drift_at": 1} if setting == "drift_to" else {}
    settings = {key: list(v) if isinstance(v, tuple) else v for key, v in read_settings(run / "config.toml").items()}
    (run / "config.toml").write_text(tomli_w.dumps(settings | extra | {setting: value}), encoding="utf-8")
    if setting == "router":
        write(run / "router.json", read(run / "router.json") | {"rule": value})
    manifest = read(run / "manifest.json")
    manifest["own_sha256"] = {setting: TABLES["methods"].digest(value)} if digest else {}
    write(run / "manifest.json", manifest)
    return planted


@pytest.mark.parametrize(
    ("setting", "uses"),
    [
        ("method", "eval route aggregate export verify verify-rerun"),
        ("metric", "eval eval-option report compare compare-option verify verify-rerun"),
        ("split", "eval verify verify-rerun"),
        ("drift_to", "eval verify"),
        ("format", "eval eval-data verify"),
        ("router", "eval route aggregate verify"),
        ("aggregation", "aggregate"),
        ("affinity", "aggregate"),
    ],
)
def test_no_command_runs_a_file_on_the_folders_word(
    setting: str, uses: str, run_copy: Path, mark: Path, tmp_path: Path
) -> None:
    name_code(run_copy, setting, mark, digest=True)
    for name in uses.split():
        if name == "verify" or (setting, name) in (("method", "aggregate"), ("method", "export")):  # nothing is asked
            USES[name](run_copy, tmp_path / name)
        else:
            with pytest.raises(UserError, match=r"not run on the folder's word|so its updates are no longer"):
                USES[name](run_copy, tmp_path / name)
        assert not mark.exists(), name


def test_a_missing_digest_is_refused_even_where_code_is_trusted(run_copy: Path, mark: Path) -> None:
    name_code(run_copy, "method", mark, digest=False)
    with pytest.raises(UserError, match="has no digest of this file, so it is not run"):
        _ = Run(run_copy, trust_code=True).method
    assert not mark.exists()


def test_what_is_trusted_is_run(run_copy: Path, mark: Path) -> None:
    name_code(run_copy, "method", mark, digest=True)
    with pytest.raises(UserError, match="has no class X that is a"):  # it was run, and is no method
        _ = Run(run_copy, trust_code=True).method
    assert mark.exists()


def test_settings_of_a_run_folder_that_name_code_are_not_trained_by(run_copy: Path, mark: Path) -> None:
    planted = name_code(run_copy, "method", mark, digest=True)
    with pytest.raises(UserError, match=r"--config .*is of a run folder, and its method names a file of code"):
        resolve_settings(None, run_copy / "config.toml", {"method": None})
    config, _ = resolve_settings(None, run_copy / "config.toml", {"data": None})  # of a command that runs no method
    assert config.method == f"{planted}:X"
    config, _ = resolve_settings(None, run_copy / "config.toml", {"method": f"{planted}:X"})
    assert config.method == f"{planted}:X" and not mark.exists()


def test_a_rule_that_the_router_alone_names_is_not_run(run_copy: Path, mark: Path) -> None:
    planted = name_code(run_copy, "metric", mark, digest=True)
    write(run_copy / "router.json", read(run_copy / "router.json") | {"rule": f"{planted}:X"})
    with pytest.raises(UserError, match="rule must be a shipped one"):
        _ = Run(run_copy, trust_code=True).router
    assert not mark.exists()


@pytest.mark.parametrize("merged", [False, True])
def test_pickled_weights_are_not_opened(merged: bool, run_copy: Path, mark: Path, tmp_path: Path) -> None:
    for folder in (run_copy / "adapters").iterdir():
        (folder / WEIGHTS_NAME).unlink()
        for name in ("adapter_model.bin", "pytorch_model.bin"):
            (folder / name).write_bytes(pickle.dumps(Planted(mark)))
    with pytest.raises(UserError, match=r"adapter_model\.safetensors: missing"):
        export(run_copy, tmp_path / "out", merged=merged)
    assert not mark.exists() and not (tmp_path / "out").exists()


def test_an_export_is_written_anew_and_passes_nothing_unknown_on(run_copy: Path, tmp_path: Path) -> None:
    path = run_copy / "adapters" / "task_0" / "adapter_config.json"
    before = path.read_bytes()
    imported = {"base_model_class": "X", "parent_library": "antigravity"}  # which PEFT would import
    write(path, read(path) | {"planted": "x" * 100, "auto_mapping": imported})
    (path.parent / "planted.py").write_text("", encoding="utf-8")
    folder = export(run_copy, tmp_path / "out", pools=["task_0"]).folders["task_0"]
    assert (folder / "adapter_config.json").read_bytes() == before
    assert (folder / WEIGHTS_NAME).read_bytes() == (path.parent / WEIGHTS_NAME).read_bytes()
    assert {one.name for one in folder.iterdir()} == {"adapter_config.json", WEIGHTS_NAME, "README.md"}


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("fault", ["nan", "missing", "huge"])
def test_a_faulty_adapter_is_not_exported(fault: str, merged: bool, run_copy: Path, tmp_path: Path) -> None:
    path = run_copy / "adapters" / "task_1" / WEIGHTS_NAME
    tensors = load_file(path)
    first = sorted(tensors)[0]
    if fault == "missing":
        tensors = {key: value for key, value in tensors.items() if ".0." in key}
        said = "it has 2 of 4 tensors and lacks"
    elif fault == "nan":
        tensors[first] = np.full_like(tensors[first], np.nan)
        said = "has a value that is not finite"
    else:
        tensors[first] = tensors[first].astype(np.float64) + 1e300
        said = "not finite as float32"
    save_file(tensors, path)
    with pytest.raises(UserError, match=said):
        export(run_copy, tmp_path / "out", merged=merged, pools=["task_1"])
    assert not (tmp_path / "out").exists()


def test_a_merged_model_that_half_precision_does_not_hold_is_refused(run_copy: Path, tmp_path: Path) -> None:
    path = run_copy / "adapters" / "task_1" / WEIGHTS_NAME
    save_file({key: np.full_like(value, 1e4) for key, value in load_file(path).items()}, path)
    with pytest.raises(UserError, match=r"merged, .* is not finite in float16"):
        export(run_copy, tmp_path / "out", merged=True, pools=["task_1"], dtype="float16")


@pytest.mark.parametrize("place", ["summary.json", "adapters/task_0", "eval", "figures", "updates/client_000", "note"])
def test_no_link_in_a_run_folder_is_followed(place: str, run_copy: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    path = run_copy / place
    if path.exists():
        path.rename(outside)
    else:
        outside.mkdir()
    path.symlink_to(outside)
    with pytest.raises(UserError, match=f"{place}: is a link, and none is followed"):
        Run(run_copy)
    if place == "updates/client_000":
        with pytest.raises(UserError, match="is a link"):
            find_update_folders([run_copy / "updates"])


def test_a_pipe_in_a_run_folder_is_not_waited_for(run_copy: Path) -> None:
    os.mkfifo(run_copy / "pipe")
    with pytest.raises(UserError, match="pipe: is no regular file"):
        Run(run_copy)


@pytest.mark.parametrize("name", ["../planted", "/planted", "a/b", "", "a b", ".", "\x1b[31m", "é"])
def test_a_pool_has_a_name_that_names_a_folder_here(name: str, run_copy: Path, tmp_path: Path) -> None:
    pools = read(run_copy / "pools.json")
    pools["pools"][0]["name"] = name
    write(run_copy / "pools.json", pools)
    with pytest.raises(UserError, match=r"pools\[0\].name must be of letters, digits, _ and -") as refused:
        export(run_copy, tmp_path / "out" / "export")
    assert "\x1b" not in str(refused.value) and not (tmp_path / "out").exists()


def test_a_message_prints_nothing_of_what_stands_in_a_file(run_copy: Path) -> None:
    for name in ("summary.json", "pools.json", "truth.json", "router.json", "manifest.json", "config.toml"):
        kept = (run_copy / name).read_bytes()
        for text in ("secret: hunter2", '"hunter2"', '{"hunter2"', '["hunter2"]', "hunter2 = hunter2"):
            if name == "config.toml" and text.startswith("["):
                continue  # a key that is no setting, which has to be named
            (run_copy / name).write_text(text, encoding="utf-8")
            with pytest.raises(UserError) as refused:
                run = Run(run_copy)
                _ = run.summary, run.pools, run.truth, run.router
            assert "hunter2" not in str(refused.value)
        (run_copy / name).write_bytes(kept)


def test_centroids_that_are_nan_or_too_large_do_not_route(run_copy: Path) -> None:
    path = run_copy / "router.safetensors"
    tensors = load_file(path)
    for value, said in ((np.nan, "not finite"), (1e20, "has a value above")):
        save_file(tensors | {"task_centroids": np.full_like(tensors["task_centroids"], value)}, path)
        with pytest.raises(UserError, match=said):
            _ = Run(run_copy).router


def test_an_adapter_of_another_backbone_answers_nothing(run_copy: Path) -> None:
    for folder in (run_copy / "adapters").iterdir():
        tensors = load_file(folder / WEIGHTS_NAME)
        save_file({key: np.zeros((3, 3), dtype=np.float32) for key in tensors}, folder / WEIGHTS_NAME)
    with pytest.raises(UserError, match=r"is of another backbone \(.* is of shape \(3, 3\)"):
        list(RoutedModel(run_copy).answer(["a text"]))


def test_sizes_of_64_bits_do_not_come_back_as_minus_one(run_copy: Path) -> None:
    path = run_copy / "clients.safetensors"
    tensors = load_file(path)
    sizes = np.full_like(tensors["client_cluster_sizes"], 2**64 - 1, dtype=np.uint64)
    save_file(tensors | {"client_cluster_sizes": sizes}, path)
    with pytest.raises(UserError, match="client_cluster_sizes must be of at least 1"):
        _ = Run(run_copy).archive


def test_a_number_of_clients_that_nobody_has_is_not_counted_out(run_copy: Path) -> None:
    text = (run_copy / "config.toml").read_text(encoding="utf-8").replace("clients = 4", f"clients = {2**62}")
    (run_copy / "config.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="must be at most"):
        Run(run_copy)
    assert json.loads((run_copy / "manifest.json").read_text(encoding="utf-8"))
