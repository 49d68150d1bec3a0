"""Nothing is lost: what came in, what is to be done and what goes out, all in Postgres."""
