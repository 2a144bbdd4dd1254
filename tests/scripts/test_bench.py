"""The benchmarks: that each measures, compares like with like and says its verdict. Never how fast anything is."""

import json
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import bench
import pytest
import torch
from benchmarks import baselines, flops, scale
from benchmarks.flops import Shape, pass_flops, step_flops
from benchmarks.measure import Contest, Figure, Samples, run
from benchmarks.show import number

TARGETS = {  # how many figures of a benchmark have a target
    "overhead": 3,
    "upper-layers": 1,
    "usual-recipe": 1,
    "embedding": 2,
    "answers": 1,
    "published-loop": 3,
    "clustering": 3,
    "linking": 3,
    "many-clients": 2,
    "rows": 0,
    "workers": 2,
    "waiting": 0,
}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the record and the document of a quick run on the embedded data and backbone."""
    torch.set_num_threads(1)  # nothing here is large enough to gain from a second
    folder = tmp_path_factory.mktemp("bench")
    document = folder / "performance.md"
    document.write_text("# Performance\n\n<!-- bench tiny-gpt2 -->\nold\n<!-- end of bench tiny-gpt2 -->\n\nAfter.\n")
    with pytest.MonkeyPatch.context() as patch:
        for side in ("ROWS", "INNER", "COLUMNS"):
            patch.setattr(flops, side, 16)  # those of usual size take half a second a time
        ways = chain([scale._in_a_process], repeat(scale._train))  # one process is enough to see that it works
        patch.setattr(scale, "_in_a_process", lambda *given, **_: next(ways)(*given))  # in as many threads as here
        bench.main(["--quick", "--json", str(folder / "record.json"), "--markdown", str(document)])
    return folder


@pytest.fixture(scope="module")
def record(quick: Path) -> dict[str, Any]:
    """The record of the quick run."""
    return json.loads((quick / "record.json").read_text(encoding="utf-8"))


@pytest.mark.long
def test_every_benchmark_has_medians_targets_and_verdicts(record: dict[str, Any]) -> None:
    assert list(record["benchmarks"]) == list(bench.BENCHMARKS) == list(TARGETS)
    for name, one in record["benchmarks"].items():
        medians = [value for quantities in one["medians"].values() for value in quantities.values()]
        assert medians and all(value >= 0 for value in medians), name
        assert all(len(v) == one["repeats"] for quantities in one["samples"].values() for v in quantities.values())
        assert one["title"] and one["notes"]
        judged = [figure for figure in one["figures"] if figure["target"]]
        assert len(judged) == TARGETS[name]
        assert all(type(figure["reached"]) is bool for figure in judged)


@pytest.mark.long
def test_the_record_says_what_it_ran_on(record: dict[str, Any]) -> None:
    machine = record["machine"]
    assert machine["threads"] == torch.get_num_threads() and machine["torch"] == torch.__version__
    assert machine["dtype"] in ("float32", "bfloat16") and machine["cores"] >= 1 and machine["processor"]
    assert (record["model"], record["data"], record["quick"]) == ("tiny-gpt2", "multitask", True)


@pytest.mark.long
def test_the_program_and_the_baselines_compute_the_same(record: dict[str, Any]) -> None:
    figures = {
        (name, figure["what"].split(" over ")[0]): figure
        for name, one in record["benchmarks"].items()
        for figure in one["figures"]
    }
    for name in ("overhead", "usual-recipe"):
        assert figures[name, "largest difference of losses"]["reached"], figures
    assert figures["embedding", "largest relative difference of a vector"]["reached"], figures
    # A tie between two tokens may be broken otherwise, on another processor.
    assert figures["answers", f"share of identical texts in {record['machine']['dtype']}"]["value"] >= 0.9
    assert figures["clustering", "inertia: ours / scikit-learn"]["reached"], figures


@pytest.mark.long
def test_the_table_goes_between_its_marks(quick: Path, record: dict[str, Any]) -> None:
    text = (quick / "performance.md").read_text(encoding="utf-8")
    assert text.startswith("# Performance\n\n<!-- bench tiny-gpt2 -->\n") and text.endswith("\n\nAfter.\n")
    assert "old" not in text and text.count("| overhead |") == 1
    ratio = record["benchmarks"]["overhead"]["figures"][0]
    assert f"| **{ratio['what']}** | {number(ratio['value'])} | at most 1.05 |" in text


@pytest.mark.long
def test_records_are_shown_and_joined_without_measuring(
    quick: Path, record: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    later = tmp_path / "later.json"
    figure = {"what": "measured later", "value": 1234567.0, "target": None, "reached": None}
    changed = record["benchmarks"]["rows"] | {"figures": [figure]}
    later.write_text(json.dumps(record | {"benchmarks": {"rows": changed}}))
    bench.main(["--from", str(quick / "record.json"), str(later)])
    shown = capsys.readouterr().out
    assert "overhead" in shown and "measured later" in shown and "1,234,567" in shown


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "said"), [({"model": "other"}, "its model is 'other'"), (None, "not readable as JSON")]
)
def test_records_that_do_not_belong_together_are_refused(
    quick: Path, record: dict[str, Any], change: Any, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    other.write_text("{" if change is None else json.dumps(record | change))
    with pytest.raises(SystemExit) as left:
        bench.main(["--from", str(quick / "record.json"), str(other)])
    assert left.value.code == 2 and said in capsys.readouterr().err


def test_a_misspelt_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        bench.main(["--only", "overhead,answer"])
    assert left.value.code == 2
    assert "--only answer: no such benchmark; there are overhead, upper-layers, usual-recipe" in capsys.readouterr().err


def test_no_repeats_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        bench.main(["--only", "rows", "--repeats", "0"])
    assert left.value.code == 2 and "--repeats 0: must be at least 1" in capsys.readouterr().err


def test_data_with_too_few_rows_are_refused(micro_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        bench.main(["--only", "embedding", "--data", str(micro_data)])
    assert left.value.code == 2 and "80 training rows are too few" in capsys.readouterr().err


def test_contenders_take_turns_in_turning_order() -> None:
    ran: list[tuple[str, int]] = []

    def contender(name: str, seconds: list[float]) -> Any:
        def once(repeat: int) -> dict[str, float]:
            ran.append((name, repeat))
            return {"seconds": seconds[repeat]}

        return once

    contenders = {"a": contender("a", [1.0, 6.0, 2.0]), "b": contender("b", [2.0, 3.0, 8.0])}

    def judge(samples: Samples) -> list[Figure]:
        return [Figure("ratio", samples.ratio("a", "b", "seconds"), most=0.5), Figure("plain", 3.0)]

    measured = run("turns", Contest("turns", contenders, judge), repeats=3)
    assert ran == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert measured.samples.median("a", "seconds") == 2.0
    assert [(f.value, f.target, f.reached) for f in measured.figures] == [(0.5, "at most 0.5", True), (3.0, None, None)]
    assert Figure("slow", 99_999.0, least=1e5).reached is False


def test_operations_of_a_step_and_of_a_pass_by_hand() -> None:
    shape = Shape(layers=2, attention=4, hidden=3, vocabulary=10, frozen=100, adapter=6)
    # 5 tokens; frozen weights: 2 operations forward and 2 backward each, the adapter's 2 and 4.
    linear = 5 * 100 * 4 + 5 * 6 * 6
    # 3 tokens see 1 + 2 + 3 tokens, 2 see 1 + 2: 9 pairs. A pair costs 2 x 4 for the score and 2 x 4 for the value
    # forward, twice that backward, in 2 layers.
    attention = 9 * (16 + 32) * 2
    head = 2 * 3 * 10 * (2 + 2)  # 2 positions, forward and backward
    assert step_flops(shape, [3, 2], 2) == linear + attention + head == 2000 + 180 + 864 + 240
    assert pass_flops(shape, [3, 2]) == 5 * 100 * 2 + 9 * 16 * 2


def test_the_shape_of_a_model_counts_its_weights(micro_model: Path, backbone: Any) -> None:
    lora = {"r": 2, "lora_alpha": 4, "target_modules": ["c_attn"], "fan_in_fan_out": True}
    model = baselines.adapted(micro_model, torch.float32, lora, {"one": backbone.initial_adapter(1)})
    assert Shape.of(model) == Shape(
        layers=2,
        attention=32,
        hidden=32,
        vocabulary=400,
        frozen=2 * (32 * 96 + 32 * 32 + 32 * 128 + 128 * 32),
        adapter=2 * (32 * 2 + 2 * 96),
    )


def test_the_lean_loss_is_the_models_own(micro_model: Path) -> None:
    model = baselines.load(micro_model, torch.float32)
    for rows in ([((5, 6, 7), (8, 9)), ((5, 6), (7,))], [((5, 6), (8, 9)), ((5, 6, 7), (9,))]):  # padded, and not
        batch = baselines.collate(rows, padding=0)
        assert batch["labels"].tolist()[0][-2:] == [8, 9]
        assert baselines.lean_loss(model, batch).item() == pytest.approx(baselines.plain_loss(model, batch).item())
