"""What `doctor` finds, on a machine as it is and on machines on which something is amiss."""

import shutil
import socket
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import torch

import fedrouter_sim.bundled
from fedrouter_sim import __version__, packages
from fedrouter_sim.backbone import devices
from fedrouter_sim.backbone.gguf import SMOLLM2_SHA256
from fedrouter_sim.machine import Memory
from fedrouter_sim.operations import doctor as module
from fedrouter_sim.operations.doctor import NOTE, OK, PROBLEM, Check, doctor

DATA = Path(__file__).parents[2] / "data"

Installer = Callable[..., None]


@pytest.fixture(autouse=True)
def plain_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches in the test's folder, one torch thread, and no variable that says otherwise."""
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(module, "_NVIDIA", tmp_path / "no-card")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    """Return a function that puts a package before all others: its metadata and, if given, the code of its module."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)

    def make(name: str, version: str, *lines: str, code: str | None = None) -> None:
        folder = place / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}")
        (folder / "METADATA").write_text("\n".join((*head, *lines)) + "\n")
        if code is not None:
            (place / f"{name.replace('-', '_')}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return make


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the embedded files that the program takes for its own."""
    package = tmp_path / "src" / "fedrouter_sim"
    monkeypatch.setattr(fedrouter_sim.bundled, "_PACKAGE", package)
    return Path(shutil.copytree(DATA, package / "data"))


def checks() -> dict[str, Check]:
    """All checks by name; no two have the same."""
    found = doctor().checks
    assert len({(check.section, check.name) for check in found}) == len(found)
    return {check.name if check.section != "Extras" else f"[{check.name}]": check for check in found}


def state_of(check: Check, *words: str) -> str:
    """The state of a check that says all these words."""
    text = f"{check.found} -> {check.remedy}"
    assert all(word in text for word in words), text
    return check.state


def test_on_a_machine_where_runs_work_nothing_is_a_problem() -> None:
    found = doctor()
    assert found.problems == ()
    assert {check.section for check in found.checks if check.state == OK} == {
        "Packages", "Machine", "Caches", "Without network", "Extras"
    }  # fmt: skip
    assert not [check.name for check in found.checks if check.state == OK and check.remedy]


def test_every_declared_requirement_is_there_with_its_version() -> None:
    found = [check for check in doctor().checks if check.section == "Packages"]
    always = [text for text in requires("fedrouter-sim") or () if ";" not in text]
    needed = [text.split(">=")[0] for text in always]
    assert [check.name for check in found] == ["fedrouter-sim", "python", *needed, "byte code"]
    assert found[0].found.startswith(f"{__version__} in ") and found[0].values["version"] == __version__
    by_name = {check.name: check for check in found}
    assert by_name["torch"].found == torch.__version__
    assert by_name["torch"].values["least"] in next(text for text in always if text.startswith("torch"))


def test_the_network_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, lambda *_: asked.append("connect"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: asked.append("getaddrinfo"))
    assert doctor().problems == () and asked == []


def test_missing_old_and_broken_packages_are_problems_with_the_command_that_mends_them(install: Installer) -> None:
    install(
        "fedrouter-sim", __version__, "Requires-Dist: no-such>=2", "Requires-Dist: aged>=1.10",
        "Requires-Dist: torn>=1", "Requires-Dist: sound>=1", 'Requires-Dist: elsewhere; sys_platform == "os2"',
    )  # fmt: skip
    install("aged", "1.9.9", code="")
    install("torn", "1.0", code="raise OSError('libtorn.so: cannot open\\nmore')")
    install("sound", "1.0", code="")
    found = checks()
    assert doctor().problems == ("no-such", "aged", "torn")
    assert state_of(found["no-such"], "missing", "pip install 'no-such>=2'") == PROBLEM
    assert state_of(found["aged"], "1.9.9, older than 1.10", "pip install 'aged>=1.10'") == PROBLEM
    assert state_of(found["torn"], "does not load: libtorn.so: cannot open -> pip install", "'torn>=1'") == PROBLEM
    assert state_of(found["sound"], "1.0 -> ") == OK
    assert state_of(found["elsewhere"], "missing; only some systems need it") == NOTE
    for name in ("data multitask", "backbone tiny-gpt2"):
        assert state_of(found[name], "to be read when the packages are in order") == NOTE


def test_packages_that_each_start_compiles_anew_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "without_byte_code", lambda name: None)
    assert state_of(checks()["byte code"], "kept") == OK
    monkeypatch.setattr(module, "without_byte_code", lambda name: Path("/site") / name)
    assert state_of(checks()["byte code"], "each start compiles", "-m compileall -q /site") == NOTE


def test_a_python_that_is_too_old_is_a_problem(install: Installer) -> None:
    install("fedrouter-sim", __version__, "Requires-Python: >=3.99")
    assert state_of(checks()["python"], "older than 3.99", "take Python 3.99 or newer") == PROBLEM


def test_metadata_of_another_version_or_none_is_noted(install: Installer, monkeypatch: pytest.MonkeyPatch) -> None:
    install("fedrouter-sim", "0.0.9")
    assert state_of(checks()["fedrouter-sim"], "0.0.9 is what was installed", "pip install -e .") == NOTE
    monkeypatch.setattr(packages, "DISTRIBUTION", "no-such-package")
    monkeypatch.setattr(module, "DISTRIBUTION", "no-such-package")
    found = checks()
    assert state_of(found["no-such-package"], "not installed as a package", "pip install -e .") == NOTE
    assert "torch" not in found and found["backbone tiny-gpt2"].state == OK


def test_where_torch_does_not_load_what_it_decides_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = checks()
    assert found["torch"].state == PROBLEM
    for name in ("device", "data type", "threads"):
        assert state_of(found[name], "not known: torch does not load") == NOTE
    assert found["memory"].state == OK


@pytest.mark.parametrize(("flags", "dtype"), [("avx2", "float32"), ("avx2 avx512_bf16", "the faster of float32 and")])
def test_the_data_type_and_why(flags: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "cpuinfo")
    why = "does not compute in bfloat16" if dtype == "float32" else "computes in bfloat16"
    assert state_of(checks()["data type"], f"auto: {dtype}", f"; the processor {why}") == OK


def test_without_a_card_auto_is_the_processor_and_a_card_that_torch_does_not_see_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state_of(checks()["device"], "auto: cpu; there is no CUDA device") == OK
    monkeypatch.setattr(module, "_NVIDIA", tmp_path)
    assert state_of(checks()["device"], "torch sees no card", torch.__version__) == NOTE

    def too_old() -> bool:
        warnings.warn("unrelated", DeprecationWarning, stacklevel=1)
        warnings.warn("CUDA initialization: the driver is too old\nmore", UserWarning, stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", too_old)
    assert state_of(checks()["device"], "auto: cpu; CUDA initialization: the driver is too old -> ") == NOTE


def test_cards_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        name, total_memory = "Card X", 8 * 2**30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Card)
    found = checks()
    assert state_of(found["device"], "auto: cuda; Card X with 8.0 GiB, Card X with 8.0 GiB") == OK
    assert found["device"].values["cards"] == [{"name": "Card X", "memory": 8 * 2**30}] * 2
    assert state_of(found["data type"], "auto: the faster of", "; the card computes in bfloat16") == OK


def test_more_threads_than_cores_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert state_of(checks()["threads"], "torch takes 2 of 2 usable cores") == OK
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert state_of(checks()["threads"], "8 threads on 2 usable cores", "OMP_NUM_THREADS=2") == NOTE


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        *(("OMP_NUM_THREADS", value, OK) for value in ("", " ", "4", " 4 ", "04", "4,2")),
        *(("OMP_NUM_THREADS", value, NOTE) for value in ("0", "-1", "two", "1.5", "4,", "9" * 5000 + "x")),
        *(("OMP_WAIT_POLICY", value, OK) for value in ("active", "PASSIVE", " passive ")),
        *(("OMP_WAIT_POLICY", value, NOTE) for value in ("lazy", "1")),
        *(("HF_HUB_OFFLINE", value, OK) for value in ("", "0", "No")),
        *(("HF_HUB_OFFLINE", value, NOTE) for value in ("ja", "2")),
    ],
)
def test_variables_that_mean_nothing_are_noted(
    name: str, value: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    found = checks()[name]
    assert (found.state, found.values["value"]) == (state, value)
    assert (repr(value) in found.found and found.remedy != "") == (state == NOTE)


def test_how_threads_wait_is_said_to_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setattr("fedrouter_sim.operations.doctor.chosen", lambda: "by this program")
    assert state_of(checks()["OMP_WAIT_POLICY"], "PASSIVE, chosen by this program") == OK


def test_offline_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_of(checks()["HF_HUB_OFFLINE"], "not set") == OK
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert state_of(checks()["HF_HUB_OFFLINE"], "set: ", "from its cache alone") == OK


@pytest.mark.parametrize(
    ("found", "state", "text"),
    [
        (Memory(16 * 2**30, 4 * 2**30), OK, "16.0 GiB, 4.0 GiB available -> "),
        (Memory(16 * 2**30, 2**29), NOTE, "512.0 MiB available -> end other programs"),
        (Memory(16 * 2**30, None), OK, "16.0 GiB -> "),
        (None, NOTE, "not known on this system"),
    ],
)
def test_memory(found: Memory | None, state: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "memory", lambda: found)
    assert state_of(checks()["memory"], text) == state


PLACES = {
    "working folder": "--out",
    "converted models": "FEDROUTER_SIM_CACHE=FOLDER",
    "embeddings and sketches": "FEDROUTER_SIM_CACHE=FOLDER",
    "Hub": "HF_HOME=FOLDER",
}


def test_caches_are_named_with_their_size_once_they_are_there(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    of_caches = {"converted models": cache / "models", "embeddings and sketches": cache / "results"}
    for name, folder in (*of_caches.items(), ("Hub", tmp_path / "hub")):
        assert state_of(checks()[name], f"{folder}: not there yet") == OK
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "weights").write_bytes(b"x" * 2048)
        found = checks()[name]
        assert state_of(found, f"{folder}: 2.0 KiB, ", "of disk free") == OK
        assert (found.values["size"], found.values["exists"], found.values["folder"]) == (2048, True, str(folder))


@pytest.mark.parametrize("name", PLACES)
def test_a_place_without_room_or_permission_is_a_note_that_says_how_to_choose_another(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "free_disk", lambda folder: 5 * 2**20)
    assert state_of(checks()[name], "5.0 MiB of disk free", "make room", PLACES[name]) == NOTE
    monkeypatch.setattr(module, "is_writable", lambda folder: False)
    assert state_of(checks()[name], "cannot be written", PLACES[name]) == NOTE
    assert doctor().problems == ()


def test_a_file_where_the_cache_should_be_and_a_home_that_is_not_there_are_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("x")
    assert state_of(checks()["converted models"], "cannot be written") == NOTE
    monkeypatch.setenv("FEDROUTER_SIM_CACHE", "~no-such-user-here/x")
    found = checks()
    assert state_of(found["converted models"], "have no place", "FEDROUTER_SIM_CACHE=FOLDER") == NOTE
    assert found["backbone smollm2-135m"].state == NOTE


def test_a_working_folder_that_was_removed_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def removed() -> Path:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "cwd", removed)
    assert state_of(checks()["working folder"], "No such file", "go to a folder that is there") == NOTE


def test_embedded_files_are_read(own_data: Path) -> None:
    found = checks()
    assert state_of(found["data multitask"], "6,000 training rows, 1,000 test rows") == OK
    assert state_of(found["data unseen"], "500 test rows") == OK
    assert state_of(found["backbone tiny-gpt2"], "1,622,448 parameters") == OK
    assert found["backbone tiny-gpt2"].values == {"folder": str(own_data / "tiny-gpt2")}


@pytest.mark.parametrize(
    ("name", "state"), [("data multitask", PROBLEM), ("data unseen", NOTE), ("backbone tiny-gpt2", PROBLEM)]
)
def test_embedded_files_that_are_missing_or_damaged(name: str, state: str, own_data: Path) -> None:
    folder = own_data / name.split()[1]
    file = folder / ("model.safetensors" if "backbone" in name else "test.jsonl")
    again = "pip install --force-reinstall --no-deps fedrouter-sim"
    file.write_bytes(file.read_bytes()[:1000])
    assert state_of(checks()[name], "not readable: ", file.name.split(".")[0], again) == state
    file.unlink()
    assert state_of(checks()[name], "not readable: ", again) == state
    shutil.rmtree(folder)
    assert state_of(checks()[name], "missing from this installation", again) == state


def test_a_damaged_tokenizer_is_found(own_data: Path) -> None:
    (own_data / "tiny-gpt2" / "tokenizer.json").write_text("{")
    assert state_of(checks()["backbone tiny-gpt2"], "not readable: ") == PROBLEM


def test_the_backbone_that_is_fetched_is_noted_until_it_is_there(tmp_path: Path) -> None:
    assert state_of(checks()["backbone smollm2-135m"], "is not here yet -> `make smollm2`") == NOTE
    folder = tmp_path / "cache" / "models" / SMOLLM2_SHA256
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert state_of(checks()["backbone smollm2-135m"], str(folder)) == OK


def test_an_extra_is_there_if_all_of_its_packages_are(install: Installer) -> None:
    install("aged", "1.9")
    install(
        "fedrouter-sim", __version__, *(f"Provides-Extra: {name}" for name in ("ready", "lacking", "late", "empty")),
        'Requires-Dist: rich>=1; extra == "ready"', 'Requires-Dist: numpy>=1; extra == "ready"',
        'Requires-Dist: rich>=1; extra == "lacking"', 'Requires-Dist: no-such>=1; extra == "lacking"',
        'Requires-Dist: aged>=2; extra == "late"', 'Requires-Dist: no-such; sys_platform == "x" and extra == "empty"',
    )  # fmt: skip
    found = checks()
    assert state_of(found["[ready]"], f"rich {packages.installed_version('rich')}, numpy ") == OK
    assert state_of(found["[lacking]"], "no-such is missing -> pip install 'fedrouter-sim[lacking]'") == NOTE
    assert state_of(found["[late]"], "aged 1.9 is older than 2", "pip install 'fedrouter-sim[late]'") == NOTE
    assert state_of(found["[empty]"], "needs nothing") == OK
    values: dict[str, Any] = found["[lacking]"].values
    assert values["installed"] is False and values["versions"]["no-such"] is None
    assert doctor().problems == ()
