"""Volumes counted: how many of a gang's can be had at a time, and how many a node attaches."""
