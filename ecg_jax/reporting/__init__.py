"""Pictures and tables from numbers."""
