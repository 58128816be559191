"""Stage `label`: features get names, asked for one by one or in batches."""
