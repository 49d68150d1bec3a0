"""Skeletons, and the one engine that fills them for the terminal and for the Mechanic."""
