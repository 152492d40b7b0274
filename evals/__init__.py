"""Evaluation of pictures: metrics on features, and the networks of the judges. Imports none of the other folders."""
