"""What pictures are worth: metrics on features, networks of the judges. Imports none of the other folders."""
