"""What is remembered: one file per table."""
