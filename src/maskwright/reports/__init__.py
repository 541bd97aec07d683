"""Reports at the end of a run: tables, pictures and files."""
