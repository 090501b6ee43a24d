"""Reports for people: pictures of trained models.

May import training and the layers below it.
"""
