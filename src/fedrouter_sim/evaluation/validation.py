"""The validation curve: scores on the validation share every so many rounds, which is all that tuning may see."""

from collections.abc import Callable, Mapping, Sequence

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.answerer import Answerer
from fedrouter_sim.backbone.asking import Answers
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import MayPass, UserError
from fedrouter_sim.evaluation.evaluator import Evaluator
from fedrouter_sim.evaluation.labels import LabelTasks
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.plan import Deployment
from fedrouter_sim.methods.method import Method
from fedrouter_sim.partition.assigning import split_iid
from fedrouter_sim.partition.test_data import VALIDATION


class ValidationCurve:
    """Scores adapters on the validation share, in the rounds that the settings name.

    Args:
        config: the settings.
        validation: the run's validation rows.
        backbone: the run's backbone.
        method: the run's method.
        metric: the metric that is shown first.
        longest_answer: most tokens of an answer of the bare backbone.
        answers: who runs the backbone; None for this process.
        labels: the labels of the tasks that are trained.
        noted: is told of a round whose validation failed, as by a metric of the user's own; training goes on.
    """

    def __init__(
        self,
        config: RunConfig,
        validation: Sequence[Example],
        backbone: Backbone,
        method: Method,
        metric: Metric,
        longest_answer: int,
        answers: Answers | None = None,
        labels: LabelTasks | None = None,
        noted: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._every = config.eval_every
        parts = split_iid(validation, config.clients, config.test_examples_per_client, config.seed)
        self._parts = dict(enumerate(parts))
        self._backbone = backbone
        self._method = method
        self._metric = metric
        self._longest = longest_answer
        self._answers = answers
        self._labels = labels
        self._noted = noted

    def __call__(self, round_: int, deployment: Deployment, adapters: Mapping[str, Adapter]) -> dict[str, float] | None:
        """Return the scores after a round, by metric and, of the metric that is shown first, by task; None where there
        are none."""
        if not self._every or round_ % self._every:
            return None
        answerer = Answerer(
            self._backbone, self._method, deployment, adapters.__getitem__, self._longest, self._answers
        )
        evaluator = Evaluator(answerer, None, self._metric, labels=self._labels)
        try:
            result = evaluator.evaluate(evaluator.cells(VALIDATION)[0], self._parts)
        except MayPass:
            raise
        except UserError as error:
            self._noted(f"validation of round {round_} failed, and training goes on: {error}")
            return None
        name = self._metric.name
        values = {name: result.mean[name], "loss": result.mean["loss"]}
        values |= {f"{name}/{task}": scores[name] for task, scores in result.per_task.items()}
        return {key: value for key, value in values.items() if value is not None}
