"""Makes landmark_files/: arrays of points as numpy.save writes them, in each type and order that a reader may meet.

Point i of the 81 is (3 i, 100 + i), so that the five points can be reckoned by hand.
"""

import numpy as np

from common import output_argument


def main():
    folder = output_argument(__doc__).parse_args().output / "landmark_files"
    folder.mkdir(exist_ok=True)
    points = np.stack([3 * np.arange(81), 100 + np.arange(81)], axis=1)
    arrays = {
        "int64": points.astype("<i8"),
        "int32": points.astype("<i4"),
        "float32": points.astype("<f4"),
        "float64_by_column": np.asfortranarray(points.astype("<f8")),
        "five_points": points[:5].astype("<i8"),
        "uint8": points.astype("u1"),
    }
    arrays["not_a_number"] = arrays["float32"].copy()
    arrays["not_a_number"][30, 0] = np.nan
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    with open(folder / "version2.npy", "wb") as file:
        np.lib.format.write_array(file, arrays["int64"], version=(2, 0))


if __name__ == "__main__":
    main()
