"""Ray, and nothing else: joining or starting a cluster, and running trials and finalists on it.

The only package that imports ray. May import training and what is below it.
"""
