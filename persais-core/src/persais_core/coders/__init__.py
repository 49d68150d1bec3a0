"""The coders: who writes the code of a change."""
