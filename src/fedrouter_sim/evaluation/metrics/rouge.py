"""ROUGE-1, ROUGE-2 and ROUGE-L F-measures (Lin 2004), each in [0, 1], without stemming."""

from dataclasses import dataclass
from functools import cache, lru_cache

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

from fedrouter_sim.evaluation.metrics.metric import Answered, Metric
from fedrouter_sim.evaluation.metrics.words import Words, words_for


class _Tokenizer(Tokenizer):  # type: ignore[misc]  # rouge-score has no types
    """Ours in place of rouge-score's, which keeps a-z and 0-9 only: it scores 0 on identical texts of other scripts."""

    def __init__(self, cut: Words) -> None:
        self._cut = cut

    def tokenize(self, text: str) -> list[str]:
        return self._cut(text)


@cache
def _scorer(cut: Words) -> RougeScorer:
    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False, tokenizer=_Tokenizer(cut))


@dataclass(frozen=True)
class Rouge:
    """The three F-measures of an answer."""

    rouge1: float
    rouge2: float
    rouge_l: float


@lru_cache(maxsize=2**14)
def rouge(reference: str, answer: str) -> Rouge:
    """Score one answer by all three at once."""
    scores = _scorer(words_for(reference)).score(reference, answer)
    return Rouge(*(float(scores[key].fmeasure) for key in ("rouge1", "rouge2", "rougeL")))


class Rouge1(Metric):
    """Overlap of words."""

    name = "rouge1"
    title = "ROUGE-1"

    def measure(self, sample: Answered) -> float:
        """Score one answer against its reference."""
        return rouge(sample.reference, sample.answer).rouge1


class Rouge2(Metric):
    """Overlap of pairs of words."""

    name = "rouge2"
    title = "ROUGE-2"

    def measure(self, sample: Answered) -> float:
        """Score one answer against its reference."""
        return rouge(sample.reference, sample.answer).rouge2


class RougeL(Metric):
    """Longest common subsequence of words."""

    name = "rouge_l"
    title = "ROUGE-L"

    def measure(self, sample: Answered) -> float:
        """Score one answer against its reference."""
        return rouge(sample.reference, sample.answer).rouge_l
