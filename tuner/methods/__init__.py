"""The interface of clustering methods, their configurations, and the catalog that finds them.

Imports nothing but `tuner.errors`.
"""
