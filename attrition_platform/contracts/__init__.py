"""What every dataset promises, and the only place where a dataset's columns have names."""
