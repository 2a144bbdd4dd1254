"""The cells of the protocol on answers made by hand: a stand-in backbone says which adapter was asked."""

import pytest
from stand_ins import LONG, LOSS, SHORT, TOKENS, TRUTH, StandIn, evaluator, sample

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.metrics.metric import Answered, Metric
from fedrouter_sim.evaluation.scores import Cell
from fedrouter_sim.evaluation.truth import Truth
from fedrouter_sim.examples.record import Example
from fedrouter_sim.routing import BARE, ORACLE


def test_means_are_over_clients_not_samples() -> None:
    shares = {0: [sample(n) for n in range(3)], 1: [sample(9, LONG)]}  # client 0: all right; client 1: all wrong
    result = evaluator(StandIn()).evaluate(Cell("all", "global"), shares)
    assert result.mean["rouge1"] == 0.5  # over samples it would be 0.75
    assert result.mean.samples == 4
    assert {client: scores["rouge1"] for client, scores in result.per_client.items()} == {0: 1.0, 1: 0.0}
    assert result.worst_client == 1
    assert result.mean["loss"] == LOSS / TOKENS


def test_per_task_is_over_the_clients_that_were_asked() -> None:
    shares = {
        0: [sample(0), sample(1), sample(2, LONG)],
        1: [sample(3, LONG), sample(4, LONG, "title")],
        2: [sample(5, SHORT, "title")],
    }
    result = evaluator(StandIn()).evaluate(Cell("all", "global"), shares)
    assert result.per_task["sum"]["rouge1"] == pytest.approx((2 / 3 + 0) / 2)
    assert result.per_task["sum"].samples == 4
    assert result.per_task["title"]["rouge1"] == 0.5
    assert result.mean["rouge1"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert result.worst_client == 1


def test_confusion_and_routing_accuracy_by_majority_task() -> None:
    shares = {0: [sample(0), sample(1, LONG)], 1: [sample(2, LONG, "title"), sample(3, SHORT, "title"), sample(4)]}
    result = evaluator(StandIn()).evaluate(Cell("all", "global"), shares)
    assert result.confusion == {"sum": {"task_0": 2, "task_1": 1}, "title": {"task_0": 1, "task_1": 1}}
    assert result.routing_accuracy == 3 / 5  # task_1's majority task is title
    assert evaluator(StandIn(), truth=None).evaluate(Cell("all", "global"), shares).routing_accuracy is None


def test_local_routing_keeps_to_the_clients_own_tasks() -> None:
    shares = {0: [sample(0, LONG)], 1: [sample(1, SHORT)]}
    result = evaluator(StandIn()).evaluate(Cell("own", "local"), shares)
    assert [answer.pool for answer in result.answers] == ["task_0", "task_1"]


def test_oracle_routing_asks_the_pool_with_most_examples_of_the_label() -> None:
    backbone = StandIn()
    shares = {0: [sample(0, LONG, "sum"), sample(1, SHORT, "title"), sample(2, SHORT, "poem")]}
    result = evaluator(backbone).evaluate(Cell("all", ORACLE), shares)
    assert [answer.pool for answer in result.answers] == ["task_0", "task_1", None]
    assert result.confusion["poem"] == {"backbone": 1}
    assert result.routing_accuracy == 1  # no adapter was trained on poems, so none would be right


def test_routing_accuracy_is_unknown_where_no_sample_is_of_a_trained_task() -> None:
    result = evaluator(StandIn()).evaluate(Cell("given", "global"), {0: [sample(0, SHORT, "poem")]})
    assert result.routing_accuracy is None


@pytest.mark.parametrize(("truth", "task"), [(None, "sum"), (TRUTH, None)])
def test_oracle_routing_needs_labels(truth: Truth | None, task: str | None) -> None:
    with pytest.raises(UserError, match="--routing oracle needs task labels"):
        evaluator(StandIn(), truth=truth).evaluate(Cell("all", ORACLE), {0: [sample(0, task=task)]})


def test_none_asks_the_bare_backbone() -> None:
    backbone = StandIn()
    result = evaluator(backbone).evaluate(Cell("all", BARE), {0: [sample(0)], 1: [sample(1, LONG)]})
    assert [name for name, _, _ in backbone.asked] == [None]
    assert backbone.asked[0][2] == 9  # the longest training response of all
    assert result.routing_accuracy is None
    assert result.confusion == {"sum": {"backbone": 2}}


def test_an_answer_is_no_longer_than_its_pools_longest_response() -> None:
    backbone = StandIn()
    evaluator(backbone).evaluate(Cell("all", "global"), {0: [sample(0), sample(1, LONG)]})
    assert {name: tokens for name, _, tokens in backbone.asked} == {"task_0": 5, "task_1": 7}


def test_exact_match_only_where_answers_are_labels() -> None:
    labels = [sample(n, response=["right", "wrong"][n % 2]) for n in range(10)]
    free = [sample(20 + n, task="title", response=f"right {n}") for n in range(10)]
    result = evaluator(StandIn()).evaluate(
        Cell("all", "global"), {0: labels[:4], 1: [*labels[4:], *free[:9]], 2: free[9:]}
    )
    assert result.per_task["sum"]["exact_match"] == 0.5
    assert result.per_task["title"]["exact_match"] is None
    assert result.per_client[0]["exact_match"] == 0.5
    assert result.per_client[2]["exact_match"] is None
    assert result.mean["exact_match"] == 0.5  # over the clients that have one


def test_a_client_without_samples_is_left_out() -> None:
    for routing in ("global", "local", ORACLE, BARE):
        result = evaluator(StandIn()).evaluate(Cell("all", routing), {0: [], 1: [sample(0)], 2: []})
        assert list(result.per_client) == [1]
        assert result.mean.samples == 1


def test_a_cell_without_samples_is_refused() -> None:
    with pytest.raises(UserError, match="no test sample in the cell 'own-global'"):
        evaluator(StandIn()).evaluate(Cell("own", "global"), {0: [], 1: []})


def test_what_was_answered_is_not_answered_again() -> None:
    backbone, done = StandIn(), []
    cells = evaluator(backbone, on_answers=done.append)
    shares = {0: [sample(0), sample(1)], 1: [sample(0), sample(2)]}  # sample 0 is asked twice
    first = cells.evaluate(Cell("all", "global"), shares)
    assert (backbone.scored, sum(done)) == (3, 4)
    assert cells.evaluate(Cell("own", "local"), {0: shares[0]}).mean == first.per_client[0]
    assert (backbone.scored, sum(done)) == (3, 6)
    cells.evaluate(Cell("all", BARE), shares)
    assert (backbone.scored, sum(done)) == (6, 10)


def test_cells_of_methods() -> None:
    assert [cell.name for cell in evaluator(StandIn()).cells("own")] == ["own-global", "own-local"]
    fedavg = evaluator(StandIn(), "fedavg")
    assert [cell.name for cell in fedavg.cells("all")] == ["all-fixed"]
    result = fedavg.evaluate(fedavg.cells("all")[0], {0: [sample(0)]})
    assert (result.answers[0].pool, result.routing_accuracy) == ("global", None)


def test_answers_keep_the_routers_margin() -> None:
    result = evaluator(StandIn()).evaluate(Cell("all", "global"), {0: [sample(0), sample(1, "one two three")]})
    assert [answer.margin for answer in result.answers] == [9, 3]  # at 1 and 4, of centroids 1 and 10
    assert [answer.weights for answer in result.answers] == [{}, {}]  # a hard choice
    bare = evaluator(StandIn()).evaluate(Cell("all", BARE), {0: [sample(0)]})
    assert bare.answers[0].margin is None


def test_the_digest_is_of_who_was_asked_what() -> None:
    def digest(shares: dict[int, list[Example]], method: str = "fedrouter", routing: str = "global") -> str:
        return evaluator(StandIn(), method).evaluate(Cell("all", routing), shares).samples_sha256

    shares = {0: [sample(0), sample(1, LONG)], 1: [sample(2)]}
    first = digest(shares)
    assert first == digest(shares, "fedavg", "fixed") == digest(shares, routing="local") == digest(shares, routing=BARE)
    assert digest(shares | {2: []}) == first
    for other in (
        {0: shares[0], 2: shares[1]},
        {0: shares[0][:1], 1: shares[1]},
        {0: shares[0][::-1], 1: shares[1]},
        {0: shares[0], 1: [sample(2, response="other")]},
        {0: shares[0], 1: [sample(3)]},
    ):
        assert digest(other) != first


def test_unlabelled_samples_have_no_tasks() -> None:
    result = evaluator(StandIn()).evaluate(Cell("all", "global"), {0: [sample(0, task=None)]})
    assert (result.per_task, result.confusion, result.routing_accuracy) == ({}, {}, None)
    assert result.mean["rouge1"] == 1.0


def test_result_as_json() -> None:
    record = evaluator(StandIn()).evaluate(Cell("all", "global"), {2: [sample(0)]}).to_dict()
    assert "answers" not in record
    assert record["cell"] == {"test_data": "all", "routing": "global", "router": None}
    assert list(record["per_client"]) == ["2"]


def test_an_answer_keeps_what_was_measured() -> None:
    [answer] = evaluator(StandIn()).evaluate(Cell("all", "global"), {2: [sample(0, LONG, response="right")]}).answers
    assert answer.sample == Answered("right", "wrong", labels=False, loss=LOSS, tokens=TOKENS, task="sum")
    none = dict.fromkeys(("exact_match", "balanced_accuracy", "macro_f1"))
    assert answer.scores == {"rouge1": 0.0, "rouge2": 0.0, "rouge_l": 0.0, **none, "loss": LOSS / TOKENS}
    assert (answer.client, answer.task, answer.instruction) == (2, "sum", f"{LONG} 0")


class Length(Metric):
    """Letters of the answer; fewer are better. None where nobody answered 'right'."""

    name, title, higher_is_better = "length", "letters", False

    def __init__(self, applies: bool = True) -> None:
        self.applies = applies

    def measure(self, sample: Answered) -> float | None:
        return float(len(sample.answer) + len(sample.reference)) if self.applies else None


def test_the_worst_client_is_by_the_metric_that_is_shown_first() -> None:
    shares = {
        0: [sample(0, response="right")],
        1: [sample(1, LONG, response="right")],  # wrong
        2: [sample(2, response="right or")],  # the longest
        3: [sample(3, LONG, response="right or")],  # as long
    }

    def worst(metric: Metric) -> int:
        return evaluator(StandIn(), metric=metric).evaluate(Cell("all", "global"), shares).worst_client

    assert worst(find_metric("rouge1")) == 1
    assert worst(Length()) == 2  # the first of equal ones
    assert worst(find_metric("loss")) == 0  # all are equal
    assert worst(Length(applies=False)) == 0  # nobody has a score


def test_an_own_metric_is_measured_beside_the_shipped_ones() -> None:
    shares = {0: [sample(0)], 1: [sample(1), sample(2, response="right or")]}
    result = evaluator(StandIn(), metric=Length()).evaluate(Cell("all", "global"), shares)
    assert list(result.mean.values) == [
        "rouge1",
        "rouge2",
        "rouge_l",
        "exact_match",
        "balanced_accuracy",
        "macro_f1",
        "loss",
        "length",
    ]
    assert {client: scores["length"] for client, scores in result.per_client.items()} == {0: 10.0, 1: 11.5}
    assert result.mean["length"] == result.per_task["sum"]["length"] == 10.75
    assert result.to_dict()["mean"]["length"] == 10.75
