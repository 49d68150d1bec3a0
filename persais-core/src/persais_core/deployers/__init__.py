"""How a merged commit comes to serve: one file for each platform."""

CATALOGUE = {"local": "persais_core.deployers.local:LocalDeployer"}
"""Name of a deployer and the class that is it."""
