"""Earmark's library: what the features inside a speech or language model respond to.

Imports run one way: words (units, speech, links, settings, errors) <- shelf, inputs <- models, dictionaries, measure <- runtime <-
live | offline <- api, __main__. Nothing here imports gradio or plotly; the words and the shelf import no torch.
"""

__version__ = "0.1.0"

import os

# On busy cores torch's threads otherwise burn their time waiting for each other (measured: 20 times slower); before torch is imported
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
