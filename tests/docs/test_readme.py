"""What the README keeps to. Its commands and blocks run in test_pages.py."""

import re

from doc_pages import DOCS, README, blocks

from fedrouter_sim.methods import METHODS

TEXT = README.read_text(encoding="utf-8")
MOST_LINES = 130
WIDTH = 120


def test_it_is_short():
    lines = TEXT.splitlines()
    assert len(lines) <= MOST_LINES
    assert all(len(line) <= WIDTH for line in lines)


def test_it_has_every_method_once_and_the_methods_page_a_section_for_each():
    assert sorted(re.findall(r"^\| `(\w+)` \|", TEXT, flags=re.MULTILINE)) == sorted(METHODS.names)
    page = (DOCS / "methods.md").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"^## (\w+)$", page, flags=re.MULTILINE) if name in METHODS.names] == list(
        dict.fromkeys(re.findall(r"^\| `(\w+)` \|", TEXT, flags=re.MULTILINE))
    )


def test_it_says_how_to_install_and_start():
    words = [command[:2] for block in blocks(README, "sh") for command in block.commands()]
    assert ["git", "clone"] in words and ["make", "demo"] in words and ["make", "test"] in words


def test_the_python_block_is_short():
    [block] = blocks(README, "python")
    assert len(block.text.splitlines()) <= 6
