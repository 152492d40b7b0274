"""How a served model is made."""
