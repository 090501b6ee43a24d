"""What a person looks at after training: pictures of models.

May import training and what is below it.
"""
