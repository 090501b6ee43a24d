"""Training: trials, finalists, checkpoints and saved models.

Knows neither Ray nor MLflow nor Optuna. May import evaluation and what is below it.
"""
