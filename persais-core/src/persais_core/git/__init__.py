"""The bot's own repository, by libgit2: no hooks, no filters, no helpers of a candidate run."""
