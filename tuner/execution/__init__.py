"""Ray: connects to or starts a cluster, and runs trials and finalists on it.

The only package that imports ray. May import training and what is below it.
"""
