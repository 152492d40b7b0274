"""The page: everything that imports gradio, with a folder for each tab."""

import os

# A container's port. Gradio reads it when it is imported, and one that is no number would end in its traceback.
PORT = os.environ.pop("GRADIO_SERVER_PORT", None) or None
