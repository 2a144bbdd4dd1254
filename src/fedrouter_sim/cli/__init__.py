"""The command line: parse, call an operation, print. Nothing heavy is imported until a command runs."""

from fedrouter_sim.cli.main import main

__all__ = ["main"]
