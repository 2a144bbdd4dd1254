"""Settings: declared once each, checked, read from files and written to them."""

from fedrouter_sim.config.settings import RunConfig, with_value

__all__ = ["RunConfig", "with_value"]
