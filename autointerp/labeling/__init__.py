"""Names features, judges the names, and scores how true they are."""
