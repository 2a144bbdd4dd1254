"""The README and the pages of docs/ as their tests see them: blocks, commands, links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PYTHON_PAGE = DOCS / "python.md"  # has a test file of its own
EXTENDING = DOCS / "extending.md"  # its blocks are files, which are tested as such
# In the order in which their commands run: later pages use the runs of earlier ones.
USED = [README, *(DOCS / f"{name}.md" for name in "index commands data-and-models run-folder methods".split())]
USED += [DOCS / f"{name}.md" for name in "privacy hostile-clients protocol promises scale architecture".split()]
USED += [DOCS / f"{name}.md" for name in "extending settings python".split()]
RECORDS = [DOCS / "performance.md", DOCS / "families.md", *sorted((DOCS / "results").glob("*.md"))]
"""Pages that say what was measured once; their commands take too long to be run."""
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
PAGES = [*USED, *RECORDS, *REFERENCE]

_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    language: str
    text: str

    def commands(self) -> Iterator[list[str]]:
        """Yield the words of each command of a shell block."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """Return the blocks of a page, in order: all of them, or those in a language."""
    found = [Block(page, *match) for match in _FENCE.findall(page.read_text(encoding="utf-8"))]
    return [block for block in found if language in (None, block.language)]


def prose(page: Path) -> str:
    """Return a page without its blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
