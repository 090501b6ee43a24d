"""Training: trials, finalists, checkpoints and saved models.

May import evaluation and the layers below it, but not Ray, MLflow or Optuna.
"""
