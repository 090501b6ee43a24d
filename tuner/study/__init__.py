"""The description of a search: the study, its plan, its search spaces, seeds and result.

Imports only `tuner.methods`, `tuner.data`, `tuner.small_files` and `tuner.errors`.
"""
