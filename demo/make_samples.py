"""Makes the sample clips of this folder: real.mp4, fake.mp4 and no_face.mp4.

The pictures are those that scikit-image's wheel holds. The fake is the portrait with its face self-blended by
`unmask preview --sbi --whole`. All three go through one function, so that real and fake differ by the blend alone.

    python3 -m venv samples && samples/bin/pip install scikit-image==0.26.0
    cargo build --release
    samples/bin/python demo/make_samples.py --unmask target/release/unmask
"""

import argparse
import hashlib
import subprocess
import tempfile
from pathlib import Path

import skimage

# Of the files in scikit-image 0.26.0.
ASTRONAUT = ("astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5")
COFFEE = ("coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7")

# Chosen by eye among the first eight, before any detector saw them: a blend of the whole face, softer than what is
# around it, as face swaps often are.
SEED = 1

SIDE = 480
FRAMES = 100
RATE = 25

# The picture is enlarged fourfold first: zoompan moves by whole pixels, which would shake at the picture's own size.
# The view then goes from 1/1.45 to 1/1.85 of the picture's width while it drifts a little aside and back, about the
# place where the portrait's face is.
MOVEMENT = (
    "scale=2048:2048:flags=lanczos:force_original_aspect_ratio=increase,crop=2048:2048,"
    f"zoompan=z='1.45+0.4*on/{FRAMES}'"
    f":x='iw*(0.45+0.03*sin(2*PI*on/{FRAMES}))-iw/zoom/2'"
    ":y='max(0,ih*0.31-ih/zoom/2)'"
    f":d={FRAMES}:s={SIDE}x{SIDE}:fps={RATE}"
)


def picture(name, sha256):
    """The path of one of scikit-image's pictures, which must be the one it was."""
    path = Path(skimage.__file__).parent / "data" / name
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{path} is not the picture of scikit-image 0.26.0 (SHA-256 {found}); install that version")
    return path


def film(source, clip):
    """Moves a camera over a picture for four seconds."""
    encoding = "-c:v libx264 -preset veryslow -crf 20 -pix_fmt yuv420p -movflags +faststart -threads 1".split()
    # Without metadata, so that the same ffmpeg writes the same bytes again.
    plain = "-map_metadata -1 -fflags +bitexact -flags:v +bitexact".split()
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", source, "-vf", MOVEMENT, *encoding, *plain, clip]
    subprocess.run(command, check=True)
    print(f"{clip}: {clip.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--unmask", type=Path, required=True, help="the program, built")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="default: %(default)s")
    arguments = parser.parse_args()
    portrait = picture(*ASTRONAUT)
    with tempfile.TemporaryDirectory() as folder:
        blended = Path(folder) / "fake.png"
        preview = ["preview", "--data", portrait, "--sbi", "--whole", "--seed", str(SEED), "--output", blended]
        subprocess.run([arguments.unmask.resolve(), *preview], check=True)
        film(portrait, arguments.output / "real.mp4")
        film(blended, arguments.output / "fake.mp4")
    film(picture(*COFFEE), arguments.output / "no_face.mp4")


if __name__ == "__main__":
    main()
