"""What `doctor` finds of the machine, on one as it is and on those on which something is amiss."""

import shutil
import socket
import warnings
from pathlib import Path

import pytest
import torch
from doctor_checks import checks, state_of

import fedrouter_sim.bundled
from fedrouter_sim.backbone import devices
from fedrouter_sim.bundled import FETCHED
from fedrouter_sim.machine import Memory
from fedrouter_sim.operations import doctor as module
from fedrouter_sim.operations.doctor import NOTE, OK, PROBLEM, doctor

DATA = Path(__file__).parents[2] / "data"

pytestmark = pytest.mark.usefixtures("plain_machine")


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the embedded files that the program takes for its own."""
    package = tmp_path / "src" / "fedrouter_sim"
    monkeypatch.setattr(fedrouter_sim.bundled, "_PACKAGE", package)
    return Path(shutil.copytree(DATA, package / "data"))


def test_on_a_machine_where_runs_work_nothing_is_a_problem() -> None:
    found = doctor()
    assert found.problems == ()
    assert {check.section for check in found.checks if check.state == OK} == {
        "Packages", "Machine", "Caches", "Without network", "Extras"
    }  # fmt: skip
    assert not [check.name for check in found.checks if check.state == OK and check.remedy]


def test_the_network_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, lambda *_: asked.append("connect"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: asked.append("getaddrinfo"))
    assert doctor().problems == () and asked == []


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


@pytest.mark.parametrize("name", FETCHED)
def test_a_backbone_that_is_fetched_is_noted_until_it_is_there(tmp_path: Path, name: str) -> None:
    state = state_of(checks()[f"backbone {name}"], f"is not here yet -> `make {FETCHED[name].target}`")
    assert state == NOTE
    folder = tmp_path / "cache" / "models" / FETCHED[name].sha256
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert state_of(checks()[f"backbone {name}"], str(folder)) == OK
