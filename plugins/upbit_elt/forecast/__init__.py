"""Forecasts: panel, features, model, training, prediction, storage. The only package that imports torch."""
