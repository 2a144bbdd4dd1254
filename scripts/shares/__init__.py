"""The study of what task adapters share: what is run, what is measured, and how it is shown."""
