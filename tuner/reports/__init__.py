"""Reports for people: pictures of trained models, and pages about searches.

May import the ledger, training and the layers below it.
"""
