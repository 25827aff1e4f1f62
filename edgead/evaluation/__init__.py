"""Bundle and labelled images to evidence."""
