"""What enters and leaves a workspace: imports, exports, bundles, galleries and label files."""
