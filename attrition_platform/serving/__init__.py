"""The HTTP service: routes translate, the router picks a model, the predictor predicts."""
