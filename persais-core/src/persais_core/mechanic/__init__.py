"""A request becomes a deployed agent: one module for each step of the way."""
