"""The page: everything that imports gradio, with a folder for each tab."""
