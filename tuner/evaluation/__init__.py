"""Evaluation of clusters: objective, metrics against labels, audits, comparison of models.

May import study, methods and data.
"""
