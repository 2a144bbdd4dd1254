"""The study of failing and hostile clients: what is run, what is measured, and how it is shown."""
