"""Measure what privacy costs: `python scripts/privacy.py [--clients 40] [--markdown docs/results/privacy.md]`.

The runs of scripts/plans/privacy.toml are trained, those that are in --out already left as they are; one that was
interrupted goes on. Printed are the scores of all that are there, on all tasks, means over clients and seeds.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import torch
from marked_tables import markdown, table, write_between_marks
from rich.console import Console

from fedrouter_sim.config.reading import typed_setting
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.observers import SILENT
from fedrouter_sim.operations.study import run_study
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.plan import Study, read_study

ROOT = Path(__file__).resolve().parents[1]
PLAN = ROOT / "scripts" / "plans" / "privacy.toml"
COLUMNS = ("method, clients", "epsilon", "spent", "noise of updates", "score", "bare backbone")


def planned(plan: Path, clients: int | None, given: Sequence[str]) -> Study:
    """Read the plan, and leave out the runs of other numbers of clients.

    Args:
        plan: the file.
        clients: of the runs that are wanted; None: all.
        given: settings of all runs, as name=value with the value as in TOML, that win over the plan's.
    """
    overrides = {}
    for text in given:
        name, _, value = text.partition("=")
        overrides[name] = typed_setting("--set", name, int(value) if value.isdecimal() else value)
    study = read_study(plan, overrides)
    return replace(study, runs=tuple(run for run in study.runs if clients in (None, run.config.clients)))


def rows_of(study: Study, out: Path) -> list[tuple[str, ...]]:
    """Return a row of text for each method, number of clients and epsilon of which a run is there."""
    groups: dict[tuple[str, int, float], list[Run]] = {}
    for run in study.runs:
        if (out / run.name).exists():
            key = (run.config.method, run.config.clients, run.config.dp_epsilon)
            groups.setdefault(key, []).append(Run(out / run.name))
    rows: list[tuple[str, ...]] = []
    for (method, clients, epsilon), runs in sorted(groups.items(), key=lambda one: (one[0][1], one[0][0])):
        summaries = [run.summary for run in runs]
        scores = [score for one in summaries if (score := one.score) is not None]
        bare = [score for one in summaries if (score := one.score_in(one.bare_cell)) is not None]
        account = summaries[0].privacy
        noise = [one.noise_multiplier for one in account.releases if one.kind == "updates"] if account else []
        spread = f" ± {stdev(scores):.3f}" if len(scores) > 1 else ""
        rows.append(
            (
                f"{method}, {clients:,}",
                f"{epsilon:g}" if epsilon else "no limit",
                f"{account.epsilon:.2f}" if account else "-",
                f"{noise[0]:.2f}" if noise else "-",
                f"{fmean(scores):.3f}{spread}" if scores else "-",
                f"{fmean(bare):.3f}" if bare else "-",
            )
        )
    return rows


def main(given: list[str] | None = None) -> None:
    """Train what is missing, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", type=Path, default=PLAN)
    parser.add_argument("--clients", type=int, help="only the runs of so many clients, such as 40 or 1000")
    parser.add_argument("--limit", type=int, help="train so many runs at most, now")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings that win over the plan's")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "privacy", help="where runs are kept")
    parser.add_argument("--only-show", action="store_true", help="train nothing more")
    parser.add_argument("--markdown", type=Path, help="document that gets the table between its marks")
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    console = Console(width=None if sys.stdout.isatty() else 140)
    study = planned(options.plan, options.clients, options.set)
    if not options.only_show:
        for done, run in run_study(study, options.out, train, SILENT, options.limit):
            seconds = run.summary.seconds.get("total", 0.0)
            console.print(f"{done.name}: {seconds:.0f} s, score {run.summary.score}", highlight=False)
    rows = rows_of(study, options.out)
    console.print(table(study.title, COLUMNS, rows))
    if options.markdown:
        write_between_marks(options.markdown, "privacy", {"score": markdown(COLUMNS, rows)})


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
