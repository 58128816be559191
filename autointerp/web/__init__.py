"""The browser view of a workspace: `autointerp serve`."""
