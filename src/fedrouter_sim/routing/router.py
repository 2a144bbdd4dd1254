"""The router: task centroids and the recipe that embeds a text; text -> task, distance, margin."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from fedrouter_sim.adapters.together import Together
from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering.kmeans import nearest
from fedrouter_sim.clustering.normalizing import Layer, Normalizer
from fedrouter_sim.config.words import ANSWER, LAST, NORMALIZATIONS, STANDARDIZING, UNSEEN_ANSWERS
from fedrouter_sim.errors import UserError
from fedrouter_sim.routing import CENTROID, ROUTERS, find_router, task_name
from fedrouter_sim.routing.reach import LEVELS, unseen_score
from fedrouter_sim.routing.rule import Landmarks, Routes, RoutingRule
from fedrouter_sim.showing import shown
from fedrouter_sim.storage import read_json, write_json
from fedrouter_sim.tables import parse_options
from fedrouter_sim.tensors import Tensors
from fedrouter_sim.typed import Natural, Within, taken

FORMAT = 2  # 1 had every client's local centroids in the same file
READABLE = (1, FORMAT)
TENSORS_NAME = "router.safetensors"
RECIPE_NAME = "router.json"
_REMEDY = "train or aggregate the run anew"


@dataclass(frozen=True)
class Router:
    """Routes embeddings to tasks, in the normalised space. It holds no text of any client. Of most rules it
    holds up to 8 prototypes of each task, which are means of clients' centroids, or these themselves where a task has
    no more than 8; a rule that `keeps_all` has it hold the centroids of every client."""

    centroids: Floats  # (T, d), normalised
    normalizer: Normalizer
    max_tokens: int  # embedded texts were cut at this many tokens
    backbone_digest: str
    rule: str = CENTROID  # a name of the routers, or FILE.py:CLASS
    options: tuple[str, ...] = ()  # of the rule, as name=value
    prototypes: Floats | None = None  # (P, d), normalised; None: the centroids
    owners: Ints | None = None  # (P,), the task of each prototype
    temperature: float = 1.0  # of rules that weigh tasks by distance
    reach: Floats | None = None  # (T, 25), quantiles of calibration rows' distances at `reach.LEVELS`, by nearest task
    reach_of_all: Floats | None = None  # (25,), the same of all tasks together
    on_unseen: str = ANSWER  # what answers a text that counts as unseen, one of `config.words.UNSEEN_ANSWERS`
    sizes: Ints | None = None  # (P,), the examples that each prototype stands for; None: not known

    @cached_property
    def landmarks(self) -> Landmarks:
        """Where the tasks lie."""
        if self.prototypes is None or self.owners is None:
            return replace(Landmarks.of_centroids(self.centroids), temperature=self.temperature)
        return Landmarks(self.centroids, self.prototypes, self.owners, self.temperature, self.sizes)

    @property
    def width(self) -> int:
        """How many numbers an embedding has that it routes."""
        layer = self.normalizer.layer
        return int(self.centroids.shape[1]) * (1 if layer is None else layer.of)

    @property
    def together(self) -> Together | None:
        """How several adapters answer a text; None: by the weighted sum of their outputs."""
        return self._rule.together

    @property
    def by_prototypes(self) -> bool:
        """Whether it goes by the tasks' prototypes, and not by their centroids."""
        return self._rule.prototypes

    @property
    def told(self) -> tuple[NDArray[Any], ...]:
        """What a client has to know of where the tasks lie in order to route: what the rule goes by."""
        if self.prototypes is None or self.owners is None or not self.by_prototypes:
            return (self.centroids,)
        return (self.centroids, self.prototypes, self.owners) + (() if self.sizes is None else (self.sizes,))

    def route(self, embeddings: Floats, tasks: Sequence[int] | None = None) -> Routes:
        """Route raw embeddings (n, d).

        Args:
            embeddings: as `Backbone.embed` returns them.
            tasks: the candidates; None for all of them (`global` routing).
        """
        points = self.normalizer(embeddings)
        if tasks is None:
            return self._checked(self._rule.route(points, self.landmarks), len(points))
        candidates = sorted(tasks)
        routes = self._checked(self._rule.route(points, self.landmarks.among(candidates)), len(points))
        return routes.among(candidates, len(self.centroids))

    def unseen(self, embeddings: Floats) -> NDArray[np.float64] | None:
        """Return how unseen texts are, (n,), in [0, 1); None of a router that was not calibrated.

        It goes by the distance to the nearest prototype of all tasks, whatever the rule and whoever asks.

        Args:
            embeddings: raw, (n, d).
        """
        if self.reach_of_all is None:
            return None
        distances = nearest(self.normalizer(embeddings), self.landmarks.prototypes).distance
        return unseen_score(distances, self.reach_of_all)

    def _checked(self, routes: Any, count: int) -> Routes:
        """Return what the rule gave, which may be the user's own, if it is a route per text."""
        if not isinstance(routes, Routes) or len(routes.task) != count or not np.isfinite(routes.distance).all():
            raise UserError(f"--router {self.rule}: route has to give Routes of {count} texts with finite distances")
        return routes

    @cached_property
    def _rule(self) -> RoutingRule:
        return find_router(self.rule, parse_options(self.options))

    def save(self, folder: Path) -> None:
        """Write router.safetensors and router.json; same router, same bytes."""
        tensors: dict[str, NDArray[Any]] = {"task_centroids": self.centroids}
        if self.prototypes is not None and self.owners is not None:
            tensors |= {"prototypes": self.prototypes, "prototype_tasks": self.owners}
        if self.sizes is not None:
            tensors["prototype_sizes"] = self.sizes
        if self.normalizer.mean is not None and self.normalizer.deviation is not None:
            tensors |= {"feature_mean": self.normalizer.mean, "feature_deviation": self.normalizer.deviation}
        if self.reach is not None and self.reach_of_all is not None:
            tensors |= {"reach": self.reach, "reach_of_all": self.reach_of_all}
        (folder / TENSORS_NAME).write_bytes(save({key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)}))
        recipe = {
            "format": FORMAT,
            "tasks": [task_name(task) for task in range(len(self.centroids))],
            "embedding": "mean over the bare instruction's tokens of the last hidden state, after the final norm",
            "max_tokens": self.max_tokens,
            "normalize": self.normalizer.kind,
            "distance": "L2",
            "rule": self.rule,
            "options": list(self.options),
            "temperature": self.temperature,
            "unseen": self.on_unseen,
            "backbone_sha256": self.backbone_digest,
        }
        if (layer := self.normalizer.layer) is not None:
            where = "the last hidden state, after the final norm" if layer.name == LAST else f"layer {layer.name}"
            recipe |= {"embedding": f"mean over the bare instruction's tokens of {where}", "layer": asdict(layer)}
        write_json(folder / RECIPE_NAME, recipe)

    @classmethod
    def load(cls, folder: Path, own_rule: str | None = None) -> "Router":
        """Read a router back.

        Args:
            folder: where it lies.
            own_rule: the FILE.py:CLASS that its rule may be; None: it has to be a shipped one. A file that the folder
                alone names is never run.

        Raises:
            UserError: the files are missing, damaged, or of another format; or the rule is another's code.
        """
        path = folder / RECIPE_NAME
        recipe = read_json(path, _REMEDY)
        if recipe.get("format") not in READABLE:
            raise UserError(f"{path}: format {shown(recipe.get('format'))} is not {FORMAT}; use a newer fedrouter-sim")
        try:
            kind = taken(recipe, "normalize", Literal[NORMALIZATIONS])
            layer = taken(recipe, "layer", Layer | None, None)
            if layer is not None and layer.place >= layer.of:
                raise ValueError(f"layer: place {layer.place} of {layer.of}")
            values: dict[str, Any] = {
                "max_tokens": taken(recipe, "max_tokens", Natural),
                "backbone_digest": taken(recipe, "backbone_sha256", str),
                "rule": taken(recipe, "rule", str, CENTROID),
                "options": taken(recipe, "options", tuple[str, ...], ()),
                "temperature": float(taken(recipe, "temperature", Annotated[float, Within(1e-30, 1e30)], 1.0)),
                "on_unseen": taken(recipe, "unseen", Literal[UNSEEN_ANSWERS], ANSWER),
            }
            parse_options(values["options"])
        except (ValueError, UserError) as error:
            raise UserError(f"{path}: damaged ({error}); {_REMEDY}") from None
        if values["rule"] not in (*ROUTERS.names, *ROUTERS.older, own_rule):
            raise UserError(f"{path}: rule must be a shipped one, or that of the run's settings; {_REMEDY}")
        tensors = Tensors(folder / TENSORS_NAME, _REMEDY)
        return cls(normalizer=_normalizer_in(tensors, kind, layer), **values, **_landmarks_in(tensors))


def _normalizer_in(tensors: Tensors, kind: str, layer: Layer | None) -> Normalizer:
    """Return the normaliser of a router's tensors: one that standardises has both a mean and a deviation."""
    width = tensors.floats("task_centroids", (None, None)).shape[1]
    if kind not in STANDARDIZING:
        return Normalizer(kind, layer=layer)
    mean, deviation = (tensors.floats(name, (width,)) for name in ("feature_mean", "feature_deviation"))
    if (deviation <= 0).any():
        raise tensors.refused("feature_deviation must be above 0")
    return Normalizer(kind, mean, deviation, layer)


def _landmarks_in(tensors: Tensors) -> dict[str, Any]:
    """Return what of a router's tensors says where the tasks lie, each checked against the others."""
    centroids = tensors.floats("task_centroids", (None, None))
    tasks, width = centroids.shape
    found: dict[str, Any] = {"centroids": centroids}
    if "prototypes" in tensors or "prototype_tasks" in tensors:
        found["prototypes"] = tensors.floats("prototypes", (None, width))
        count = len(found["prototypes"])
        found["owners"] = tensors.whole("prototype_tasks", (count,), most=tasks - 1)
        if len(np.unique(found["owners"])) != tasks:
            raise tensors.refused("a task has no prototype")
        if "prototype_sizes" in tensors:
            found["sizes"] = tensors.whole("prototype_sizes", (count,))
    if "reach" in tensors or "reach_of_all" in tensors:
        found["reach"] = tensors.floats("reach", (tasks, len(LEVELS)))
        found["reach_of_all"] = tensors.floats("reach_of_all", (len(LEVELS),))
        if (np.diff(found["reach_of_all"]) < 0).any() or found["reach_of_all"][0] < 0 or (found["reach"] < 0).any():
            raise tensors.refused("reach must be quantiles of distances: rising, and at least 0")
    return found
