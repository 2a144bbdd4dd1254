"""The README's commands run, at a smaller size, in the order in which it gives them."""

import json
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pytest
from paper_copies import write_copies

import fedrouter_sim
from fedrouter_sim.backbone.gguf import SMOLLM2_SHA256
from fedrouter_sim.cli.main import main
from fedrouter_sim.config import RunConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = (
    "--clients 4 --rounds 4 --local-steps 2 --batch-size 2 --examples-per-client 24 --test-examples-per-client 2"
).split()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("fedrouter-sim")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README's commands take as the user's own."""
    place = tmp_path_factory.mktemp("readme")
    (place / "my-data").symlink_to(ROOT / "data" / "multitask")
    (place / "my-model").symlink_to(ROOT / "data" / "tiny-gpt2")
    (place / "data").symlink_to(ROOT / "data")
    (place / "docs").symlink_to(ROOT / "docs")
    (place / "my-users").mkdir()
    for share in ("train", "test"):
        lines = (ROOT / "data" / "multitask" / f"{share}.jsonl").read_text(encoding="utf-8").splitlines()[:200]
        rows = [json.loads(line) | {"user": number % 5} for number, line in enumerate(lines)]
        (place / "my-users" / f"{share}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_copies(place / "hub", rows=30)
    # CI does not fetch SmolLM2: the embedded backbone stands in its place.
    models = place / "cache" / "models"
    models.mkdir(parents=True)
    (models / SMOLLM2_SHA256).symlink_to(ROOT / "data" / "tiny-gpt2")
    return place


def test_every_command_runs(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(workplace / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", workplace / "datasets-cache")
    assert len(commands()) >= 6
    for words in commands():
        smaller = SMALL if words[1] == "train" else []
        monkeypatch.setattr(sys, "argv", [*words, *smaller])
        with pytest.raises(SystemExit) as exit_info:
            main()
        assert not exit_info.value.code, f"{shlex.join(words)}\n{capsys.readouterr().err}"


def test_the_peft_block_runs(workplace, monkeypatch):
    """After the commands, which make the run that it opens."""
    monkeypatch.chdir(workplace)
    block = next(block for block in blocks("python") if "PeftModel" in block)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert type(names["model"]).__name__ == "PeftModelForCausalLM" and names["model"].active_adapter == "task_1"


def test_the_serving_block_answers(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    sizes = {"rounds": 1, "local_steps": 2, "batch_size": 2, "examples_per_client": 24, "test_examples_per_client": 2}
    monkeypatch.setattr(fedrouter_sim, "RunConfig", partial(RunConfig, **sizes), raising=False)
    block = next(block for block in blocks("python") if "RoutedModel" in block)
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert isinstance(names["answer"]("Jana Sommer -> job -> guide"), str)


def test_the_method_block_is_the_example_file_and_short():
    """The command that trains with it runs above."""
    example = (ROOT / "docs" / "soft_router.py").read_text(encoding="utf-8")
    block = next(block for block in blocks("python") if "class SoftRouter" in block)
    assert example.endswith(block) and len(example.splitlines()) < 40


def test_the_make_targets_exist_and_demo_runs_the_main_command():
    targets = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", README, flags=re.MULTILINE))
    assert {"demo", "test", "check"} <= targets
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if target == "demo":
            assert "fedrouter-sim train --clients 10" in done.stdout


def test_links_and_files_of_the_readme_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links and all((ROOT / link).exists() for link in links)
