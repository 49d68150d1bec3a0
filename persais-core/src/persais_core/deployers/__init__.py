"""How a merged commit comes to serve: one file for each platform."""

CATALOGUE = {
    "fly": "persais_core.deployers.fly:FlyDeployer",
    "local": "persais_core.deployers.local:LocalDeployer",
}
"""Name of a deployer and the class that is it."""
