"""What a model learns from: stateless feature groups and the matrix made of them."""
