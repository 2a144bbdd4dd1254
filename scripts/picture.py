"""Draw a run's final table as an SVG: `python scripts/picture.py RUN FILE.svg`."""

import argparse
import io
import re
from pathlib import Path

from rich.console import Console

from fedrouter_sim import Run
from fedrouter_sim.report.tables import summary_table
from fedrouter_sim.storage import write_text


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    console = Console(record=True, width=76, file=io.StringIO())
    run = Run(arguments.run)
    console.print(summary_table(run.summary, run.metric))
    # A fixed id, so that the same run gives the same bytes; and no fonts that a viewer would have to fetch.
    picture = console.export_svg(title="fedrouter-sim train --clients 10", unique_id="summary")
    write_text(arguments.file, re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))


if __name__ == "__main__":
    main()
