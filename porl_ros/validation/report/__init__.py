"""Reports for people: of a validation, and of a fine-tuning. One HTML file each."""
