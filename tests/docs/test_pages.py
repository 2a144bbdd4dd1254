"""All that the README and the pages of docs/ tell a reader to run does run, in their order, at a small size."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import datasets
import pytest
import typer
import yaml
from cheaper import leave_figures_blank, load_once
from doc_pages import (
    CONTRIBUTING,
    DOCS,
    EXTENDING,
    PAGES,
    PYTHON_PAGE,
    README,
    RECORDS,
    REFERENCE,
    ROOT,
    USED,
    anchors,
    blocks,
    prose,
)
from paper_copies import write_copies

import fedrouter_sim
from fedrouter_sim.bundled import FETCHED, SMOLLM2
from fedrouter_sim.cli.main import app, main
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.reading import read_settings
from fedrouter_sim.studies.plan import read_study

SIZES = {
    "clients": 4, "rounds": 1, "local_steps": 1, "batch_size": 2,
    "examples_per_client": 12, "test_examples_per_client": 1,
}  # fmt: skip
LANGUAGES = {"sh", "python", "toml", "text"}
OTHER_FLAGS = {"--help", "--logdir"}  # of every command; of TensorBoard
UNUSUAL = re.compile(
    r"\b(mend|spurt|dealing out|deal[st]? (it )?out|(adapter|group|line|pool|row)s? an? (client|round|task|cell))\b",
    flags=re.IGNORECASE,
)


def commands(pages: list[Path]) -> list[list[str]]:
    """Return the different commands of some pages, in order."""
    found = [words for page in pages for block in blocks(page, "sh") for words in block.commands()]
    return [list(words) for words in dict.fromkeys(map(tuple, found))]


def is_ours(words: list[str]) -> bool:
    return Path(words[0]).name == "fedrouter-sim"


def smaller(words: list[str]) -> list[str]:
    """Return the flags that make a training or a study small."""
    if words[1] == "study":
        return ["--workers", "1"]  # each process imports all anew
    if words[1] != "train" or "--help" in words:
        return []
    sizes = SIZES | ({"rounds": 5} if "--drift-at" in words else {})
    return [word for name, value in sizes.items() for word in ("--" + name.replace("_", "-"), str(value))]


def plan() -> str:
    """Return the plan of the methods page, at a small size."""
    [text] = [block.text for block in blocks(DOCS / "methods.md", "toml") if "[[runs]]" in block.text]
    small = "".join(f"{name} = {value}\n" for name, value in (SIZES | {"rounds": 2}).items())
    head, rest = text.split("[settings]\nclients = 8\nrounds = 6\n")
    return head.replace("[111, 222, 333]", "[111]") + "[settings]\n" + small + rest


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands take as the user's own."""
    place = tmp_path_factory.mktemp("pages")
    (place / "my-data").symlink_to(ROOT / "data" / "multitask")
    (place / "my-model").symlink_to(ROOT / "data" / "tiny-gpt2")
    (place / "data").symlink_to(ROOT / "data")
    (place / "docs").symlink_to(DOCS)
    (place / "my-plan.toml").write_text(plan(), encoding="utf-8")
    (place / "my-users").mkdir()
    for share in ("train", "test"):
        lines = (ROOT / "data" / "multitask" / f"{share}.jsonl").read_text(encoding="utf-8").splitlines()[:200]
        rows = [json.loads(line) | {"user": number % 5} for number, line in enumerate(lines)]
        (place / "my-users" / f"{share}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_copies(place / "hub", rows=30)
    # CI does not fetch SmolLM2: the embedded backbone stands in its place.
    models = place / "cache" / "models"
    models.mkdir(parents=True)
    (models / FETCHED[SMOLLM2].sha256).symlink_to(ROOT / "data" / "tiny-gpt2")
    return place


@pytest.fixture(scope="module")
def ran(workplace: Path) -> list[str]:
    """Run our commands, up to the first that fails; return what failed and why.

    Only the commands that are for figures draw them.
    """
    with pytest.MonkeyPatch.context() as patch, pytest.MonkeyPatch.context() as blank:
        load_once(patch)
        patch.chdir(workplace)
        patch.setenv("FEDROUTER_SIM_CACHE", str(workplace / "cache"))
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", workplace / "datasets-cache")
        for words in filter(is_ours, commands(USED)):
            patch.setattr(sys, "argv", [*words, *smaller(words)])
            blank.undo()
            if words[1] in ("train", "study"):
                leave_figures_blank(blank)
            said = StringIO()
            with redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit) as exit_info:
                main()
            if exit_info.value.code:
                return [f"{shlex.join(words)}\n{said.getvalue()}"]
    return []


def test_every_command_of_ours_runs(ran):
    assert not ran, ran[0]
    names = {words[1] for words in commands(USED) if is_ours(words)}
    assert names == {command.name for command in app.registered_commands}


@pytest.mark.parametrize(
    "page", [page for page in USED if page not in (PYTHON_PAGE, EXTENDING) and blocks(page, "python")]
)
def test_every_python_block_runs(page, workplace, ran, monkeypatch):
    """After the commands, which make the runs that the blocks open."""
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(fedrouter_sim, "RunConfig", partial(RunConfig, **SIZES), raising=False)
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks(page, "python"), 1):
        exec(compile(block.text, f"{page.name}, block {number}", "exec"), names)


def test_the_blocks_of_the_extending_page_are_the_example_files_and_short():
    """The commands that use them run above; tests/test_examples_of_your_own.py tests what they do."""
    found = {block.text for block in blocks(DOCS / "extending.md", "python")}
    files = [DOCS / "soft_router.py", *(DOCS / "examples").glob("*.py")]
    for text in (path.read_text(encoding="utf-8") for path in files):
        [block] = [block for block in found if text.endswith(block)]
        assert len(text.splitlines()) < 40
        found.remove(block)
    assert not found


def test_every_toml_block_is_settings_or_a_plan(tmp_path):
    found = [block for page in PAGES for block in blocks(page, "toml")]
    assert len(found) >= 2
    for number, block in enumerate(found):
        path = tmp_path / f"{number}.toml"
        path.write_text(block.text, encoding="utf-8")
        if "runs" in tomllib.loads(block.text):
            assert read_study(path).runs
        else:
            RunConfig.build(read_settings(path))


def test_every_other_command_exists():
    others = [words for words in commands(PAGES) if not is_ours(words)]
    assert others
    for words in others:
        if words[0] == "make":
            done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"
            for line in done.stdout.splitlines():
                check_script(shlex.split(line))
        elif words[0] == "python":
            check_script(words)
        else:
            assert words[0] in {"git", "cd", "source"}, shlex.join(words)


def check_script(words: list[str]) -> None:
    """Check that a script of ours is there and has the flags that it is given."""
    script = next((word for word in words if re.fullmatch(r"scripts/.*\.py", word)), None)
    if script is not None:
        source = (ROOT / script).read_text(encoding="utf-8")
        for flag in (word for word in words if word.startswith("--")):
            assert f'"{flag}"' in source, f"{script} has no {flag}"


def test_demo_runs_the_main_command():
    done = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True)
    assert "fedrouter-sim train --clients 10" in done.stdout


@pytest.mark.parametrize("page", [*PAGES, CONTRIBUTING], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_what_is_named_exist(page):
    text = prose(page)
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", text):
        file = (page.parent / target).resolve() if target else page
        assert file.is_file(), f"{page}: {target}"
        # The site holds docs/ alone.
        assert page.parent == ROOT or file.is_relative_to(DOCS), f"{page}: {target} is not in docs/"
        assert not anchor or anchor in anchors(file), f"{page}: {target}#{anchor}"
    for code in re.findall(r"`([^`\n]+)`", text):
        if re.match(r"(src|scripts|data|docs|tests)/[\w./-]+$", code):
            assert (ROOT / code).exists(), f"{page}: {code}"
        if named := re.fullmatch(r"(tests/[\w/]+\.py)::(\w+)", code):
            assert f"\ndef {named[2]}(" in (ROOT / named[1]).read_text(encoding="utf-8"), f"{page}: {code}"
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", code):
            # Records name the command that was run, as it was then.
            assert page in RECORDS or flag in known_flags(), f"{page}: {flag}"
        for target in re.findall(r"^make ([a-z0-9-]+)", code):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE), code


def known_flags() -> set[str]:
    """Return the flags of our commands and scripts, and the others that the pages name."""
    ours = {
        flag
        for command in typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        for flag in parameter.opts
    }
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "scripts").glob("*.py"))
    return ours | OTHER_FLAGS | {flag for source in sources for flag in re.findall(r'"(--[a-z-]+)"', source)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_has_a_language_that_is_tested(page):
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize("page", [*USED, *REFERENCE], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_are_in_usual_english(page):
    if page.name != "settings.md":  # made from the declarations of the settings
        assert not UNUSUAL.findall(prose(page))


def test_the_site_has_every_page_and_the_reference_every_public_name():
    def pages(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in pages(part)]

    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(pages(site["nav"])) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert {DOCS / page for page in pages(site["nav"])} == {*PAGES} - {README}
    assert RECORDS
    names = [name for page in REFERENCE for name in re.findall(r"^::: fedrouter_sim\.(\w+)", prose(page), re.MULTILINE)]
    assert sorted(names) == sorted(set(fedrouter_sim.__all__) - {"__version__"})
