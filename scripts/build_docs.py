"""Build the documentation site into site/: `python scripts/build_docs.py`.

The builder stops at broken links and unknown names by itself (`--strict`), but not at what the reader of docstrings
complains about, such as a parameter that is documented and not there. Here every such line is an error, too.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPLAINTS = ("griffe", "mkdocstrings", "mkdocs_autorefs", "WARNING", "Warning")
"""What the lines of warnings begin with."""


def complaints(output: str) -> list[str]:
    """Return the lines of a build's output that are warnings."""
    return [line for line in output.splitlines() if line.startswith(COMPLAINTS)]


def main() -> int:
    """Build, show the output, and return 0 if there was no warning."""
    shutil.rmtree(ROOT / "site", ignore_errors=True)
    builder = Path(sys.executable).with_name("zensical")
    command = [str(builder), "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="")
    found = complaints(done.stdout)
    if found:
        print(f"error: {len(found)} warnings, the first: {found[0]}", file=sys.stderr)
    return done.returncode or bool(found)


if __name__ == "__main__":
    sys.exit(main())
