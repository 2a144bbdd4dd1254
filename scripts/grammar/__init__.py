"""The grammar of an invented world: four tasks, two unseen tasks and general text about the same names."""
