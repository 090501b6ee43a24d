"""The description of a search: the study, its search spaces, seeds and result.

Imports only `tuner.methods`, `tuner.data`, `tuner.small_files` and `tuner.errors`.
"""
