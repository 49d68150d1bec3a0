"""The only room that knows SQLModel, psycopg and pgvector."""
