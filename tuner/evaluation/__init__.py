"""How good clusters are: the objective, metrics against labels, audits, comparisons of models.

May import study, methods and data.
"""
