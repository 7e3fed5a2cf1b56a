"""``python -m napari_sam_med``: the command line where the command itself is not on the path."""

from napari_sam_med.cli import main

if __name__ == "__main__":
    main()
