"""A reference population, drawn from published facts: for a first look and for tests."""
