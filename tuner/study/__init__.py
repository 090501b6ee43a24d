"""The description of a search: the study, its search spaces, seeds and result.

May import methods and data.
"""
