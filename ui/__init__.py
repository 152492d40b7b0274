"""The page: everything that imports gradio. One file a tab."""
