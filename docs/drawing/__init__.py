"""Drawings for the documents. They need matplotlib, which `make setup-export` installs."""
