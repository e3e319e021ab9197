"""Forecasts: panel, features, model, training, prediction, storage. The only room that imports torch."""
