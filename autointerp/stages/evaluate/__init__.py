"""Stage `evaluate`: dictionaries, features and labels against held-out images and the truth."""
