"""Examples: the record, where they come from, and how files and rows become examples."""

from fedrouter_sim.examples.record import Columns, Example, Shares, Turn
from fedrouter_sim.examples.templates import render_prompt

__all__ = ["Columns", "Example", "Shares", "Turn", "render_prompt"]
