"""Reads a finished run folder."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from fedrouter_sim.adapters.aggregation.product import factors_by_module
from fedrouter_sim.adapters.folders import load_adapter, load_peft_config
from fedrouter_sim.adapters.state import Adapter, check_shapes
from fedrouter_sim.answerer import Answerer
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.paths import absolute_path
from fedrouter_sim.config.reading import BEFORE, read_settings
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.evaluation.truth import Truth
from fedrouter_sim.federation.plan import Deployment, Pool
from fedrouter_sim.methods import find_method
from fedrouter_sim.methods.method import Method
from fedrouter_sim.routing.archive import ARCHIVE_NAME, MOST_TOKENS, Archive
from fedrouter_sim.routing.router import RECIPE_NAME, Router
from fedrouter_sim.runs.alternatives import other_router, when_unseen
from fedrouter_sim.runs.backbones import check_router, load_backbone, model_folder
from fedrouter_sim.runs.cells import StoredCell, read_cells
from fedrouter_sim.runs.checking import check_fits, check_manifest, read_rounds
from fedrouter_sim.runs.clients import number_of
from fedrouter_sim.runs.discovery import Discovery
from fedrouter_sim.runs.entries import check_trusted
from fedrouter_sim.runs.layout import (
    CONFIG_FILE,
    FORMAT,
    MANIFEST_NAME,
    POOLS_NAME,
    READABLE,
    ROUNDS_NAME,
    STATE_NAME,
    TRUTH_NAME,
    require_folder,
)
from fedrouter_sim.runs.summary import Summary
from fedrouter_sim.runs.updates import StoredUpdate, read_updates
from fedrouter_sim.showing import shown
from fedrouter_sim.storage import read_json, refuse_links
from fedrouter_sim.tables import parse_options
from fedrouter_sim.tensors import Tensors
from fedrouter_sim.typed import Within, taken


class Run:
    """A finished run folder, opened for reading."""

    def __init__(self, folder: Path | str, trust_code: bool = False, model: Path | str | None = None) -> None:
        """Open a run.

        Args:
            folder: of the run.
            trust_code: run the files of own entries (FILE.py:CLASS) that the folder names, as long as they are what the
                run was trained with; else only those that have been named to this process otherwise.
            model: where the backbone is now, if no longer where the settings say: a name, folder or file as of
                `--model`. It has to be the one that the run was trained on.

        Raises:
            UserError: the folder is none that `train` or `aggregate` wrote, is of another format, or holds a link.
        """
        folder = Path(folder)
        self.folder = folder
        self._trusts = trust_code
        self._adapter_shapes: dict[str, tuple[int, ...]] | None = None  # of the first that was read
        require_folder(folder)
        refuse_links(folder)
        self.manifest = read_json(folder / MANIFEST_NAME, self._remedy)
        if self.manifest.get("format") not in READABLE or isinstance(self.manifest["format"], bool):
            raise UserError(f"{folder}: run format {shown(self.manifest.get('format'))} is not {FORMAT}; train it anew")
        check_manifest(self.manifest, folder / MANIFEST_NAME)
        settings = BEFORE | read_settings(folder / CONFIG_FILE)
        self.has_moved_model = model is not None
        self.config = RunConfig.build(settings, {} if model is None else {"model": absolute_path(str(model))})

    @property
    def _remedy(self) -> str:
        return f"is {self.folder} a run folder of fedrouter-sim?"

    @property
    def backbone(self) -> str:
        """What the backbone is, in a line; of a run from before that was written down, the name it was given by."""
        return str(self.manifest.get("backbone") or self.config.model)

    @property
    def clustering_seed(self) -> int:
        """Seed of the run's global clustering: its own, unless `aggregate` was given another."""
        return int(self.manifest.get("clustering_seed", self.config.seed))

    @cached_property
    def summary(self) -> Summary:
        """What the final table shows."""
        return Summary.load(self.folder)

    @cached_property
    def _pools(self) -> dict[str, Any]:
        return read_json(self.folder / POOLS_NAME, self._remedy)

    @cached_property
    def pools(self) -> tuple[Pool, ...]:
        """The run's pools, each with an adapter."""
        found: tuple[Pool, ...] = self._of_pools("pools", tuple[Pool, ...])
        if len({pool.name for pool in found}) < len(found):
            raise UserError(f"{self.folder / POOLS_NAME}: damaged (a pool is named twice); train the run anew")
        return found

    def _of_pools(self, key: str, kind: Any) -> Any:
        try:
            return taken(self._pools, key, kind)
        except ValueError as error:
            raise UserError(f"{self.folder / POOLS_NAME}: damaged ({error}); train the run anew") from None

    @property
    def longest_answer(self) -> int:
        """Most tokens of an answer of the bare backbone."""
        return int(self._of_pools("longest_answer", Annotated[int, Within(1, MOST_TOKENS)]))

    @cached_property
    def router(self) -> Router | None:
        """The router; None where the method has none."""
        if not (self.folder / RECIPE_NAME).exists():
            return None
        self.check_own("router")
        if not self.pools:
            raise UserError(f"{self.folder}: has a router and no adapters in {POOLS_NAME}; train the run anew")
        router = Router.load(self.folder, self.config.router)
        archive = self.archive
        if archive is not None:
            of_archive = archive.clients[0].centroids.shape[1], max(map(max, archive.assignment)) + 1
            if of_archive != router.centroids.shape[::-1]:
                raise UserError(
                    f"{self.folder}: its router and {ARCHIVE_NAME} are of other tasks or widths; train the run anew"
                )
        return router

    @cached_property
    def archive(self) -> Archive | None:
        """The clients' local centroids; None where the method has no router."""
        return Archive.load(self.folder)

    @cached_property
    def discovery(self) -> Discovery | None:
        """How the tasks were found; None where none were linked, and of a run from before that was written down."""
        return Discovery.load(self.folder)

    @property
    def client_ids(self) -> list[int]:
        """The numbers of the run's clients, in order; clients that trained elsewhere keep their own."""
        archive = self.archive
        return [message.client for message in archive.clients] if archive else list(range(self.config.clients))

    @property
    def client_names(self) -> dict[int, str]:
        """What the data call the run's clients, by number; none where they name no client."""
        return dict(enumerate(self.manifest.get("data_clients") or ()))

    def client_number(self, client: int | str) -> int:
        """Return the number of a client that is given by its number or, where there is no such number, by its name.

        Raises:
            UserError: there is no such client.
        """
        return number_of(client, self.client_ids, self.client_names, self.folder)

    @cached_property
    def deployment(self) -> Deployment:
        """What the run answers with, beside the adapters."""
        path = self.folder / STATE_NAME
        kept = dict(Tensors(path, "train the run anew")) if path.exists() else {}
        return Deployment(self.pools, self.router, self.archive, kept)

    @property
    def own_digests(self) -> dict[str, str]:
        """The SHA-256 of the files of the user's own entries when the run was trained, by setting."""
        older = self.manifest.get("method_sha256")  # run format 1 had own methods only
        return dict(self.manifest.get("own_sha256") or ({"method": str(older)} if older else {}))

    def check_own(self, *settings: str) -> dict[str, str]:
        """Return the run's `--option`s, if the files of these entries are those that the run was trained with, and may
        be run: they are trusted, or this process was told of them by its user and not by the folder alone.

        Raises:
            UserError: an entry is the user's own and its file is gone or has changed since, has no digest, or is not
                trusted.
        """
        check_trusted(self.config, self.own_digests, settings, str(self.folder), self._trusts)
        return parse_options(self.config.option)

    @cached_property
    def method(self) -> Method:
        """The run's method.

        Raises:
            UserError: it is the user's own and its file has changed since.
        """
        return find_method(self.config.method, self.check_own("method"))

    @cached_property
    def metric(self) -> Metric:
        """The metric that the run shows first.

        Raises:
            UserError: it is the user's own and its file has changed since.
        """
        return find_metric(self.config.metric, self.check_own("metric"))

    @cached_property
    def truth(self) -> Truth | None:
        """Label counts; None where the data has no labels."""
        return Truth.load(self.folder / TRUTH_NAME)

    def adapter(self, pool: str) -> Adapter:
        """Read the adapter of a pool.

        Raises:
            UserError: it is damaged, or no LoRA of the run's rank with as many factors as the run's other adapters.
        """
        folder = self.folder / "adapters" / pool
        adapter = load_adapter(folder)
        try:
            factors_by_module(adapter)
            if self._adapter_shapes is None:
                self._adapter_shapes = {key: tuple(value.shape) for key, value in adapter.items()}
            check_shapes(self._adapter_shapes, adapter)
        except ValueError as error:
            raise UserError(f"{folder}: not a usable adapter ({error}); train or aggregate the run anew") from None
        return adapter

    @cached_property
    def peft_config(self) -> dict[str, Any]:
        """The adapter configuration that all adapters of the run share."""
        return load_peft_config(self.folder / "adapters" / self.pools[0].name)

    def updates(self) -> Iterator[StoredUpdate]:
        """Yield the record of every group's last update, in client and group order.

        Raises:
            UserError: a record is damaged, or is of no client or local cluster of the run.
        """
        archive = self.archive
        held = {message.client: len(message.sizes) for message in archive.clients} if archive else {}
        for update in read_updates(self.folder):
            if archive is not None and max(update.clusters, default=-1) >= held.get(update.client, 0):
                raise UserError(
                    f"{update.folder}: is of a client or local cluster that {ARCHIVE_NAME} has none of; train the run "
                    "anew"
                )
            yield update

    def rounds(self) -> list[dict[str, Any]]:
        """Read rounds.jsonl; empty for a run of `aggregate` or of a method that does not train.

        Raises:
            UserError: the file is damaged.
        """
        path = self.folder / ROUNDS_NAME
        if not path.exists():
            return []
        return read_rounds(path)

    def cells(self) -> list[StoredCell]:
        """Read the scores of all cells that were evaluated."""
        return read_cells(self.folder)

    def open_backbone(self) -> Backbone:
        """Load the backbone of the run.

        Raises:
            UserError: it is not there, or not the one that the run was trained on.
        """
        return load_backbone(self.folder, self.config, self._backbone_digest)

    def model_folder(self) -> Path:
        """Return the folder of the backbone of the run, which is not loaded.

        Raises:
            UserError: it is not there, or not the one that the run was trained on.
        """
        return model_folder(self.folder, self.config, self._backbone_digest)

    @property
    def _backbone_digest(self) -> str:
        return str(self.manifest.get("backbone_sha256"))

    def other_router(self, rule: str, options: Sequence[str] = ()) -> Router:
        """Make another router of the run's archive, calibrated as the run's own.

        Args:
            rule: a name of the routers, or FILE.py:CLASS.
            options: of the rule, as name=value.

        Raises:
            UserError: the run has no archive, or there is no such router.
        """
        return other_router(self.folder, self.deployment, rule, options)

    def answerer(
        self,
        backbone: Backbone,
        adapters: Callable[[str], Adapter] | None = None,
        unseen: str | None = None,
        router: Router | None = None,
    ) -> Answerer:
        """Return what answers as the run does.

        Args:
            backbone: as `open_backbone` gives it.
            adapters: gives the adapter of a pool; None: read from the folder each time.
            unseen: what answers texts that count as unseen, 'answer', 'bare' or 'mix'; None: what the run was told.
            router: another router than the run's.

        Raises:
            UserError: the backbone cuts texts at another length than the router's were cut at, or the run cannot tell
                unseen texts.
        """
        deployment = replace(self.deployment, router=router) if router else self.deployment
        if deployment.router is not None:
            check_router(deployment.router, backbone, self.folder)
        if unseen is not None:
            deployment = when_unseen(self.folder, deployment, unseen)
        read = adapters or self.adapter
        wanted = {key: tuple(value.shape) for key, value in backbone.initial_adapter(0).items()}

        def checked(pool: str) -> Adapter:
            return check_fits(wanted, read(pool), self.folder / "adapters" / pool)

        return Answerer(backbone, self.method, deployment, checked, self.longest_answer)


def open_run(run: Run | Path | str) -> Run:
    """Return a run as it is, or open the one in a folder.

    Raises:
        UserError: as `Run`.
    """
    return run if isinstance(run, Run) else Run(run)
