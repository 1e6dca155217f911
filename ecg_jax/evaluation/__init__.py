"""Numbers that judge predictions. Nothing here draws or writes."""
