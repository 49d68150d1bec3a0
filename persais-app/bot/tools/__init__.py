"""What agents may do: typed functions, one file per subject."""
