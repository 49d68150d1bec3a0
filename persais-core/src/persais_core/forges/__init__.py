"""Where pull requests live: one file for each place."""

CATALOGUE = {
    "github": "persais_core.forges.github:GitHubForge",
    "local": "persais_core.forges.local:LocalForge",
}
"""Name of a forge and the class that is it."""
