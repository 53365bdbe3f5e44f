"""Sources of images and labels: listing, label files, fetching and uploading."""
