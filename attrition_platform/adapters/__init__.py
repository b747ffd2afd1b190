"""One module per outside system: files, databases, registries."""
