"""Where pull requests live: one file for each place."""
