"""The pages, a module each; every page registers its routes on the application."""
