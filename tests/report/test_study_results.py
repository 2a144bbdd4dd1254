"""What a study leaves: all files, and how far FedRouter is above the baselines at most."""

import json
from dataclasses import replace
from pathlib import Path

from fedrouter_sim.report.study_results import largest_gains, write_results
from fedrouter_sim.studies.comparison import Claim, Comparison
from fedrouter_sim.studies.plan import Study


def test_every_file_is_written(comparison: Comparison, tmp_path: Path) -> None:
    claim = Claim("Ours is better", "fedrouter", "fedavg", "dual", "own", paper="+6.1%")
    study = Study("Ours & theirs", (), (claim,))
    write_results(study, tmp_path, comparison, [comparison.judge(claim)], "fedrouter-sim study x.toml")
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    figures = {f"figures/{kind}-{split}.svg" for kind in ("scores", "cost") for split in ("single", "dual")}
    assert found == {"report.html", "table.md", "results.csv", "clients.csv", "claims.json"} | figures
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert table.startswith("# Ours & theirs\n\n### Interference") and "Drawn by `fedrouter-sim study x.toml`" in table
    assert "18 of 0 runs, seeds 0 1 2." in table
    [judged] = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    assert (judged["verdict"], judged["claim"]["paper"]) == ("reproduced", "+6.1%")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Ours &amp; theirs" in page and "largest relative gain" in page


def test_what_the_runs_were_made_with_is_theirs_and_not_of_what_draws_them(
    comparison: Comparison, tmp_path: Path
) -> None:
    def drawn(*libraries: dict[str, str]) -> str:
        entries = tuple(
            replace(entry, libraries=own) for entry, own in zip(comparison.entries, libraries, strict=False)
        )
        write_results(Study("Ours", (), ()), tmp_path, replace(comparison, entries=entries), [], "x")
        return (tmp_path / "table.md").read_text(encoding="utf-8")

    assert "made with" not in drawn({}, {})
    assert "The runs were made with torch 1 or 2, peft 3." in drawn({"torch": "2", "peft": "3"}, {"torch": "1"})
    assert "Versions were kept of 1 of the 2 runs: torch 2." in drawn({"torch": "2", "numpy": "1"}, {})


def test_the_largest_gain_is_over_a_shipped_baseline(comparison: Comparison) -> None:
    own, every = largest_gains(comparison)
    assert own.startswith("Interference, own data: fedrouter's largest relative gain over a baseline is +49.0% (over")
    assert "fedavg on single, seeds: 3" in own and own.endswith("the paper's is up to +6.1%.")
    assert every.startswith("Generalisation, all tasks: ") and every.endswith("the paper's is up to +136%.")
    assert largest_gains(Comparison(())) == []
