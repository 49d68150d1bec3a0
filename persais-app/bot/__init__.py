"""Everything this bot has beyond what every bot has."""
