"""The ledger of a search: an Optuna study in a database, and the lease on it.

Imports optuna, as `tuner.study.space` does and no other. May import training and what is below it.
"""
