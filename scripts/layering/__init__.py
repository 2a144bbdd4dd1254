"""The study of `--lora-layers`: what is run, what is measured, and how it is shown."""
