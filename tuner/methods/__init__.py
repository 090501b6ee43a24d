"""The contract of a clustering method, and the catalog that finds methods.

May import errors alone.
"""
