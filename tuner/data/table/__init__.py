"""What the columns of a table are taken for, what is wrong with them, and their features."""
