"""The grammar of an invented world: four tasks, two unseen ones, six more and general text about the same names."""
