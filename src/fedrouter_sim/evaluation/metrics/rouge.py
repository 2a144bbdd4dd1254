"""ROUGE-1, ROUGE-2 and ROUGE-L F-measures (Lin 2004), each in [0, 1], without stemming."""

import re
from functools import lru_cache

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

from fedrouter_sim.evaluation.metrics.metric import Answered, Metric

_WORDS = re.compile(r"[^\W_]+")


class _UnicodeTokenizer(Tokenizer):  # type: ignore[misc]  # rouge-score has no types
    """Lower-cased runs of letters and digits of any script; equals rouge-score's own on ASCII text.

    Its own keeps a-z and 0-9 only, which scores 0 on identical texts of other scripts.
    """

    def tokenize(self, text: str) -> list[str]:
        return _WORDS.findall(text.lower())


_SCORER = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False, tokenizer=_UnicodeTokenizer())


@lru_cache(maxsize=2**14)
def _scores(reference: str, answer: str) -> dict[str, float]:
    """Score one answer by all three at once."""
    return {key: float(score.fmeasure) for key, score in _SCORER.score(reference, answer).items()}


class Rouge1(Metric):
    """Overlap of words."""

    name = "rouge1"
    title = "ROUGE-1"

    def measure(self, sample: Answered) -> float:
        """Score one answer against its reference."""
        return _scores(sample.reference, sample.answer)["rouge1"]


class Rouge2(Metric):
    """Overlap of pairs of words."""

    name = "rouge2"
    title = "ROUGE-2"

    def measure(self, sample: Answered) -> float:
        """Score one answer against its reference."""
        return _scores(sample.reference, sample.answer)["rouge2"]


class RougeL(Metric):
    """Longest common subsequence of words."""

    name = "rouge_l"
    title = "ROUGE-L"

    def measure(self, sample: Answered) -> float:
        """Score one answer against its reference."""
        return _scores(sample.reference, sample.answer)["rougeL"]
