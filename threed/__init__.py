"""Text to NeRF to mesh (docs/threed.md)."""
