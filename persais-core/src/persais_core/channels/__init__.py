"""Chat services: their updates become domain values, our replies become their messages."""
