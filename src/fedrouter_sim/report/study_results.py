"""What a study leaves: the page, the tables, the figures and the judged claims."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from fedrouter_sim.evaluation.metrics import DEFAULT_METRIC
from fedrouter_sim.methods import METHODS
from fedrouter_sim.partition.test_data import ALL, OWN
from fedrouter_sim.report.comparison_figures import comparison_figures
from fedrouter_sim.report.comparison_report import write_comparison_report
from fedrouter_sim.report.comparison_tables import clients_csv, comparison_csv, comparison_markdown, run_notes
from fedrouter_sim.storage import write_json, write_text
from fedrouter_sim.studies.comparison import Comparison, Judged
from fedrouter_sim.studies.plan import Study

_PAPER = ((OWN, "Interference, own data", "6.1%"), (ALL, "Generalisation, all tasks", "136%"))
_LIBRARIES = ("torch", "transformers", "peft", "faiss-cpu")
_NO_BASELINES = ("fedrouter", "oracle", "central", "base")


def write_results(study: Study, out: Path, comparison: Comparison, judged: Sequence[Judged], command: str) -> None:
    """Write report.html, table.md, results.csv, clients.csv, figures/ and claims.json.

    Args:
        study: what was planned.
        out: folder of the results.
        comparison: the runs that are there.
        judged: the claims with their verdicts.
        command: what made them, for the reader.
    """
    seeds = " ".join(str(seed) for seed in sorted({entry.seed for entry in comparison.entries}))
    in_all = sum(entry.wall_seconds for entry in comparison.entries) / 60
    notes = [
        *largest_gains(comparison),
        f"Drawn by `{command}` on {datetime.now(UTC):%Y-%m-%d}: {len(comparison.entries)} of {len(study.runs)} runs, "
        f"seeds {seeds}. The runs took {in_all:.1f} minutes, added up.",
        *_versions(comparison),
    ]
    write_comparison_report(out / "report.html", study.title, comparison, judged, notes)
    notes = [*run_notes(comparison), *notes]  # the page has a section of them
    notes.append(f"Backbone: {'; '.join(comparison.backbones())}.")  # the page says it at its top
    tables = comparison_markdown(comparison, judged)
    write_text(out / "table.md", f"# {study.title}\n\n{tables}\n" + "\n\n".join(notes) + "\n")
    write_text(out / "results.csv", comparison_csv(comparison))
    write_text(out / "clients.csv", clients_csv(comparison))
    for name, svg in comparison_figures(comparison).items():
        write_text(out / "figures" / f"{name}.svg", svg)
    write_json(out / "claims.json", [asdict(one) for one in judged])


def _versions(comparison: Comparison) -> list[str]:
    """Say what the runs were made with, where that is known: they may be older than what draws them."""
    known = [entry.libraries for entry in comparison.entries if entry.libraries]
    found = {name: sorted({own[name] for own in known if name in own}) for name in _LIBRARIES}
    if not known:
        return []
    told = ", ".join(f"{name} {' or '.join(versions)}" for name, versions in found.items() if versions)
    if len(known) == len(comparison.entries):
        return [f"The runs were made with {told}."]
    return [f"Versions were kept of {len(known)} of the {len(comparison.entries)} runs: {told}."]


def largest_gains(comparison: Comparison) -> list[str]:
    """Say how far FedRouter is above the other methods at most, beside what the paper claims of ROUGE-1."""
    if comparison.metric.name != DEFAULT_METRIC:
        return []
    others = [m for m in comparison.methods() if m in METHODS.names and m not in _NO_BASELINES]
    lines = []
    for test_data, what, paper in _PAPER:
        gains = [
            gain
            for split, data in comparison.cells()
            if data == test_data
            for baseline in others
            if (gain := comparison.gain("fedrouter", baseline, split, data)) is not None
        ]
        if gains:
            best = max(gains, key=lambda gain: gain.log_ratio.mean)
            lines.append(
                f"{what}: fedrouter's largest relative gain over a baseline is {best.ratio.mean - 1:+.1%} (over "
                f"{best.baseline} on {best.split}, seeds: {best.log_ratio.seeds}); the paper's is up to +{paper}."
            )
    return lines
