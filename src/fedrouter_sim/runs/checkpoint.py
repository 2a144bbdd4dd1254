"""What a run under way keeps on disk: after every round, or every client, all that another process needs to go on."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from fedrouter_sim.adapters.folders import load_adapter
from fedrouter_sim.adapters.state import Adapter, adapter_digest
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.observers import Observer, RoundRecord
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.folders import forget_aside
from fedrouter_sim.messages import Failed, Update
from fedrouter_sim.parsing import parse_json
from fedrouter_sim.runs.digests import file_digest, file_digests
from fedrouter_sim.runs.plans import load_plan, save_plan
from fedrouter_sim.runs.unfinished import RECEIVED_NAME, Begun, states
from fedrouter_sim.runs.updates import update_folder
from fedrouter_sim.simulation import Outcome, Stage
from fedrouter_sim.storage import read_json, sync_files, write_bytes
from fedrouter_sim.tensors import Tensors
from fedrouter_sim.typed import Within, taken

STATE_NAME = "state.json"
_ADAPTERS, _LATE, _PLANS = "adapters.safetensors", "late.safetensors", "plans"
_SHARING = "sharing.safetensors"
_SKETCHES = "sketches.safetensors"
_UNFINISHED = ".partial"
_REMEDY = "train the run anew"


class Checkpoint(Observer):
    """Keeps the state of a simulation in a run folder that grows. It has to hear of an update after the run writer."""

    def __init__(self, begun: Begun, made_of: Mapping[str, str], seconds: Callable[[], dict[str, float]]) -> None:
        """Open the checkpoint of a run.

        Args:
            begun: how the run was begun.
            made_of: digests of what the run is made of, by what they are of.
            seconds: says how long what took so far, in seconds.
        """
        self._run = begun.run
        self._folder = begun.folder
        self._every_client = begun.every_client
        self._made_of = dict(made_of)
        self._seconds = seconds
        self._plans = 0  # how many are on disk
        self._of_plans: dict[int, dict[str, str]] = {}  # digests of their files, which do not change
        self._written: list[Path] = []  # updates that the disk may not have yet
        self._lines: list[str] = []  # what is to be added to the list of those received

    def received(self, update: Update) -> None:
        """Take an update down that is in the run folder by now."""
        self._written.append(self._run / update_folder(update.client, update.group))
        self._lines.append(json.dumps(_without_adapter(update) | {"sha256": adapter_digest(update.adapter)}) + "\n")
        if self._every_client:
            self.flush()

    def failed(self, failed: Failed) -> None:
        """Take down that a client has no update to send."""
        self._lines.append(json.dumps({"round": failed.round, "failed": vars(failed)}) + "\n")
        if self._every_client:
            self.flush()

    def flush(self) -> None:
        """Have what was received in this round kept."""
        self._check_there()
        self._sync_updates()
        if self._lines:
            with (self._folder / RECEIVED_NAME).open("a", encoding="utf-8") as file:
                file.write("".join(self._lines))
            sync_files([self._folder / RECEIVED_NAME])
            self._lines = []

    def keep(self, outcome: Outcome) -> None:
        """Keep the state after a round in place of the last one. After the first round no earlier run is put back.

        Raises:
            UserError: the folder has gone.
        """
        self._check_there()
        folder = self._folder / f"round-{len(outcome.records):06d}"
        if folder.exists():
            return  # it goes on from there
        self._sync_updates()
        for number in range(self._plans, len(outcome.stages)):
            plan = self._plan(number)
            shutil.rmtree(plan, ignore_errors=True)  # half of one, if it is there
            save_plan(plan, outcome.stages[number].plan)
            write_bytes(plan / _SKETCHES, save(_tensors(outcome.stages[number].federation.workers.kept_sketches())))
            sync_files([*plan.iterdir(), plan])
        self._plans = len(outcome.stages)
        older, building = states(self._folder), folder.with_name(folder.name + _UNFINISHED)
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        write_bytes(building / _ADAPTERS, _adapter_bytes(outcome.adapters))
        if outcome.late:
            late = {str(number): update.adapter for number, update in enumerate(outcome.late)}
            write_bytes(building / _LATE, _adapter_bytes(late))
        if outcome.sharing:
            write_bytes(building / _SHARING, _adapter_bytes(outcome.sharing))
        stages = [
            {"drifted": stage.drifted, "begins": stage.begins, "planning": asdict(stage.planning)}
            for stage in outcome.stages
        ]
        record = {
            "made_of": self._made_of,
            "seconds": self._seconds(),
            "traffic": asdict(outcome.traffic),
            "stages": stages,
            "pools": list(outcome.adapters),
            "records": [record.to_dict() for record in outcome.records],
            "sha256": self._digests(building, len(stages)),
            "late": [_without_adapter(update) for update in outcome.late],
            "sharing": list(outcome.sharing),
        }
        write_bytes(building / STATE_NAME, json.dumps(record).encode())
        sync_files([building])
        building.rename(folder)
        sync_files([self._folder])
        self._lines = []
        (self._folder / RECEIVED_NAME).unlink(missing_ok=True)
        for path in older:
            shutil.rmtree(path)
        if outcome.records:
            forget_aside(self._run)

    def load(self, federation: Federation) -> Outcome | None:
        """Return the state that was kept last, and the updates of the round after it; None if none was kept.

        Args:
            federation: of the run, anew.

        Raises:
            UserError: the state is damaged, or the run was made of something else, which is named.
        """
        kept = states(self._folder)
        if not kept:
            return None
        record = read_json(kept[-1] / STATE_NAME, _REMEDY)
        try:
            self._check(kept[-1], record)
            records = [RoundRecord(**values) for values in record["records"]]
            stages = [self._stage(federation, number, values) for number, values in enumerate(record["stages"])]
            adapters = _adapters(kept[-1] / _ADAPTERS, record["pools"])
            sent = record.get("late", [])
            of_late = _adapters(kept[-1] / _LATE, [str(number) for number in range(len(sent))]) if sent else {}
            late = tuple(_update(values, of_late[str(number)]) for number, values in enumerate(sent))
            names = record.get("sharing", [])
            sharing = _adapters(kept[-1] / _SHARING, names) if names else {}
            outcome = Outcome(stages, adapters, records, Traffic(**record["traffic"]), late=late, sharing=sharing)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(f"{kept[-1]}: damaged ({error!r}); {_REMEDY}") from None
        self._plans = len(stages)
        return replace(outcome, received=tuple(self._received(len(records) + 1)))

    def spent(self) -> dict[str, float]:
        """Return how long what took in earlier processes, in seconds."""
        kept = states(self._folder)
        if not kept:
            return {}
        path = kept[-1] / STATE_NAME
        try:
            return dict(taken(read_json(path, _REMEDY), "seconds", Mapping[str, Annotated[float, Within(0)]], {}))
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); {_REMEDY}") from None

    def _plan(self, number: int) -> Path:
        return self._folder / _PLANS / f"{number:03d}"

    def _digests(self, state: Path, plans: int) -> dict[str, str]:
        """Return the digests of the tensors of a state and of its plans' files."""
        found = {name: file_digest(state / name) for name in (_ADAPTERS, _LATE, _SHARING) if (state / name).exists()}
        for number in range(plans):
            plan = self._plan(number)
            if number not in self._of_plans:
                self._of_plans[number] = file_digests(plan)
            found |= {f"{_PLANS}/{plan.name}/{name}": digest for name, digest in self._of_plans[number].items()}
        return found

    def _check(self, state: Path, record: Mapping[str, Any]) -> None:
        for name, digest in self._made_of.items():
            if record["made_of"].get(name) != digest:
                raise UserError(
                    f"--resume {self._run}: the {name} has changed since the run was begun; put it back, or train the "
                    "run anew with --overwrite"
                )
        found = self._digests(state, len(record["stages"]))
        if odd := [name for name, digest in record["sha256"].items() if found.get(name) != digest]:
            raise UserError(f"{state}: {odd[0]} is damaged; train the run anew with --overwrite")

    def _stage(self, federation: Federation, number: int, values: Mapping[str, Any]) -> Stage:
        plan = load_plan(self._plan(number), federation.config.router)
        own = federation.after_drift() if values["drifted"] else federation
        own = own.gathered() if plan.gathered else own
        own.workers.recall(_sketches(Tensors(self._plan(number) / _SKETCHES, _REMEDY)))
        return Stage(plan, own, values["drifted"], values["begins"], Traffic(**values["planning"]))

    def _received(self, round_: int) -> list[Update | Failed]:
        """Return what clients sent in a round, up to the first update that is not whole."""
        path = self._folder / RECEIVED_NAME
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        found: dict[tuple[int, int], Update | Failed] = {}
        for line in lines:
            try:
                record = parse_json(line, constants=True)
                if record["round"] != round_:
                    continue
                if "failed" in record:
                    failed = Failed(**record["failed"])
                    found[failed.client, failed.group] = failed
                    continue
                digest = record.pop("sha256")
                adapter = load_adapter(self._run / update_folder(record["client"], record["group"]))
                if adapter_digest(adapter) != digest:
                    break
                update = _update(record, adapter)
            except (ValueError, LookupError, TypeError, UserError):
                break
            found[update.client, update.group] = update
        return list(found.values())

    def _sync_updates(self) -> None:
        for folder in self._written:
            sync_files([*folder.iterdir(), folder])
        self._written = []

    def _check_there(self) -> None:
        if not self._folder.is_dir():
            raise UserError(f"{self._run}: has gone while the run grew in it; train it anew")


def _without_adapter(update: Update) -> dict[str, Any]:
    return {key: value for key, value in vars(update).items() if key != "adapter"}


def _update(record: Mapping[str, Any], adapter: Adapter) -> Update:
    """Return the update that `_without_adapter` was given."""
    return Update(**{**record, "clusters": tuple(record["clusters"])}, adapter=adapter)


def _adapter_bytes(adapters: Mapping[str, Adapter]) -> bytes:
    """Return adapters by name as the bytes of a file."""
    tensors = {f"{name}/{key}": tensor for name, own in adapters.items() for key, tensor in own.items()}
    return save({key: np.ascontiguousarray(tensors[key].numpy()) for key in sorted(tensors)})


def _adapters(path: Path, names: Sequence[str]) -> dict[str, Adapter]:
    """Return what `_adapter_bytes` was given, in the order of these names."""
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, values in Tensors(path, _REMEDY).items():
        name, _, tensor = key.rpartition("/")
        found[name][tensor] = torch.from_numpy(values)
    return dict(found)


def _tensors(sketches: Mapping[int, Mapping[int, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return clients' sketches, by position of the example, as tensors: of each client the positions and all in one."""
    found: dict[str, NDArray[Any]] = {}
    for client, own in sorted(sketches.items()):
        found[f"{client}/positions"] = np.array(list(own), dtype=np.int64)
        found[f"{client}/sketches"] = np.stack(list(own.values()))
    return found


def _sketches(tensors: Mapping[str, NDArray[Any]]) -> dict[int, dict[int, NDArray[Any]]]:
    """Return what `_tensors` was given."""
    clients = [key.removesuffix("/positions") for key in tensors if key.endswith("/positions")]
    return {
        int(client): dict(zip(tensors[f"{client}/positions"].tolist(), tensors[f"{client}/sketches"], strict=True))
        for client in clients
    }
