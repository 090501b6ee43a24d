"""Ray: connects to or starts a cluster, and runs trials and finalists on it.

The only package that imports ray. May import training and what is below it.
"""

import logging

# in a notebook, Ray asks for widgets while it is imported; nothing of this package needs them
logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)
