"""`fedrouter-sim init`: a settings file that `train` takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.reading import read_preset, read_settings
from fedrouter_sim.config.writing import settings_file
from fedrouter_sim.runs.entries import TABLES

NAMES = {name: table.names for name, table in TABLES.items()}


def config_in(path):
    return RunConfig.build(read_settings(path))


def refusal(done):
    """The one line of a refusal."""
    assert done.returncode == 2 and done.stdout == "", done
    [line] = done.stderr.splitlines()
    return line


def test_it_writes_the_defaults_and_says_how_to_train_with_them(cli, tmp_path):
    done = cli("init", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Written to fedrouter-sim.toml; train with it: fedrouter-sim train --config fedrouter-sim.toml\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["fedrouter-sim.toml"]
    assert (tmp_path / "fedrouter-sim.toml").read_text(encoding="utf-8") == settings_file(None, NAMES)


def test_a_preset_gives_its_values(cli, tmp_path):
    assert cli("init", tmp_path / "new" / "my.toml", "--preset", "paper").returncode == 0
    assert config_in(tmp_path / "new" / "my.toml") == RunConfig.build(read_preset("paper"))


def test_train_takes_the_file_and_has_nothing_to_note_about_it(cli, tmp_path):
    assert cli("init", "my.toml", cwd=tmp_path).returncode == 0
    small = "--method local --clients 4 --rounds 1 --examples-per-client 12".split()
    done = cli("train", "--config", "my.toml", *small, "--dry-run", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["steps"] == 4 * 10


def test_a_setting_that_the_file_changes_in_vain_is_noted(cli, tmp_path):
    (tmp_path / "my.toml").write_text("fedprox_mu = 0.5\nditto_lambda = 0.1\nalpha = 0.5\n")
    small = "--clients 4 --rounds 1 --examples-per-client 12 --dry-run".split()
    done = cli("train", "--config", tmp_path / "my.toml", *small)
    assert done.stderr.splitlines() == ["note: --fedprox-mu has no effect with --method fedrouter --split dual"]


def test_a_dash_prints_the_file_and_writes_none(cli, tmp_path):
    done = cli("init", "-", "--preset", "cpu-small", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, settings_file("cpu-small", NAMES), "")
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept_unless_overwrite_is_given(cli, tmp_path):
    (tmp_path / "my.toml").write_text("mine")
    assert refusal(cli("init", "my.toml", cwd=tmp_path)) == (
        "error: my.toml: is there already; choose another name or give --overwrite"
    )
    assert (tmp_path / "my.toml").read_text() == "mine"
    assert cli("init", "my.toml", "--overwrite", cwd=tmp_path).returncode == 0
    assert config_in(tmp_path / "my.toml") == RunConfig()


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_what_is_no_file_is_refused(cli, tmp_path, options):
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path, "/dev/null", tmp_path / "pipe"):
        assert refusal(cli("init", target, *options)) == (
            f"error: {target}: is no file; give the name of a file, or - for standard output"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_an_unknown_preset_is_refused_before_anything_is_written(cli, tmp_path):
    assert "--preset 'fast' is unknown" in refusal(cli("init", tmp_path / "my.toml", "--preset", "fast"))
    assert not list(tmp_path.iterdir())


def test_a_target_that_cannot_be_written_is_refused(cli, tmp_path):
    (tmp_path / "file").write_text("x")
    for target in ("file/my.toml", "x" * 300, "/proc/my.toml"):
        line = refusal(cli("init", target, cwd=tmp_path))
        assert line.startswith(f"error: {target}: cannot be written (") and "give a file where you may write" in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_refused(cli, tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be written (Permission denied)" in refusal(cli("init", tmp_path / "my.toml"))


def test_a_link_is_written_through(cli, tmp_path):
    (tmp_path / "link").symlink_to("target")
    assert cli("init", "link", cwd=tmp_path).returncode == 0
    assert (tmp_path / "link").is_symlink() and config_in(tmp_path / "target") == RunConfig()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_the_terminals_encoding_lacks_is_written_out(tmp_path, encoding):
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    script = Path(sys.executable).with_name("fedrouter-sim")
    done = subprocess.run([script, "init", tmp_path / "ä中.toml"], capture_output=True, env=env)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert "ä中.toml".encode(encoding, "backslashreplace") in done.stdout


def test_the_command_that_it_names_is_quoted_for_the_shell(cli, tmp_path):
    assert cli("init", "my file.toml", cwd=tmp_path).stdout.endswith("train --config 'my file.toml'\n")


def test_help_has_an_example(cli):
    assert "Example: fedrouter-sim init" in cli("init", "--help").stdout
