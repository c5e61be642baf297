"""Figures that the model is made of, from a release build."""
