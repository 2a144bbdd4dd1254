"""Scores of single answers, for scripts."""

from fedrouter_sim.evaluation.metrics.rouge import Rouge, rouge

__all__ = ["Rouge", "rouge"]
