"""Clustering methods: a module each, or a package where one module would be too long.

May import the contract of methods, errors and the kit that they share, `_kit`.
"""
