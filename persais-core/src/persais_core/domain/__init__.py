"""Frozen values that cross rooms. They know no database, no network and no library but pydantic."""
