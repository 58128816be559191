"""Tasks for other people's labelers and scores, whose answers are the truth of shapes."""
