"""Makes tone.json: pixels of high dynamic range and wide colours, mapped to 8-bit BT.709.

PQ, HLG with its OOTF, the primaries and BT.1886 are colour-science's; the tone curve is method A of Report ITU-R BT.2446-1
(section 4.2), written from its formulas in double precision. Levels are not rounded, so that a reader sees how near ours are.
"""

import argparse
import json
import math
from pathlib import Path

import colour
import numpy as np

PEAK, STANDARD_PEAK, GAMMA = 1000.0, 100.0, 2.4


def display_light(transfer, signal, weights):
    """Linear light as a part of the peak."""
    if transfer == "pq":
        return np.minimum(colour.models.eotf_ST2084(signal) / PEAK, 1.0)
    if transfer == "hlg":
        scene = colour.models.oetf_inverse_BT2100_HLG(signal)
        return scene * (weights @ scene) ** 0.2
    return signal**GAMMA


def method_a(light, weights):
    red, green, blue = light ** (1 / GAMMA)
    luma = weights @ np.array([red, green, blue])
    if luma == 0:
        return np.zeros(3)
    high = 1 + 32 * (PEAK / 10000) ** (1 / GAMMA)
    standard = 1 + 32 * (STANDARD_PEAK / 10000) ** (1 / GAMMA)
    perceived = math.log(1 + (high - 1) * luma) / math.log(high)
    if perceived <= 0.7399:
        compressed = 1.0770 * perceived
    elif perceived < 0.9909:
        compressed = -1.1510 * perceived**2 + 2.7811 * perceived - 0.6302
    else:
        compressed = 0.5 * perceived + 0.5
    mapped = (standard**compressed - 1) / (standard - 1)
    scale_b, scale_r = 2 * (1 - weights[2]), 2 * (1 - weights[0])
    cb = mapped / (1.1 * luma) * (blue - luma) / scale_b
    cr = mapped / (1.1 * luma) * (red - luma) / scale_r
    mapped -= max(0.1 * cr, 0)
    red, blue = mapped + scale_r * cr, mapped + scale_b * cb
    green = (mapped - weights[0] * red - weights[2] * blue) / weights[1]
    return np.clip([red, green, blue], 0, 1) ** GAMMA


def mapped(transfer, primaries, codes):
    space = colour.RGB_COLOURSPACES["ITU-R BT.2020" if primaries == "bt2020" else "ITU-R BT.709"]
    weights = np.array([0.2627, 0.6780, 0.0593] if primaries == "bt2020" else [0.2126, 0.7152, 0.0722])
    light = display_light(transfer, np.array(codes) / 65535, weights)
    if transfer != "standard":
        light = method_a(light, weights)
    light = colour.RGB_to_RGB(light, space, colour.RGB_COLOURSPACES["ITU-R BT.709"])
    return 255 * np.clip(light, 0, 1) ** (1 / GAMMA)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "goldens")
    random = np.random.default_rng(7)
    goldens = []
    for transfer, primaries in [("pq", "bt2020"), ("hlg", "bt2020"), ("standard", "bt2020"), ("pq", "bt709"), ("hlg", "bt709")]:
        greys = [[code] * 3 for code in range(0, 65536, 8191)]
        # Skin in daylight and lamplight, then anything.
        base = np.array([[0.62, 0.52, 0.45], [0.45, 0.36, 0.30], [0.30, 0.22, 0.18]]) * 65535
        drawn = random.integers(0, 65536, (50, 3))
        for codes in greys + base.astype(int).tolist() + drawn.tolist():
            levels = [round(float(level), 3) for level in mapped(transfer, primaries, codes)]
            goldens.append({"transfer": transfer, "primaries": primaries, "codes": codes, "levels": levels})
    lines = ",\n".join(json.dumps(golden) for golden in goldens)
    (parser.parse_args().output / "tone.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
