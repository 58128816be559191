"""Stage `fit`: planned, trained and stored."""
