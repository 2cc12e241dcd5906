"""Times `unmask score` from a file to its report, for one or several built programs, in one run.

    cargo build --release
    python benches/score_speed.py --unmask target/release/unmask
    python benches/score_speed.py --unmask old/unmask new/unmask --clip clip.mp4 --cores 0,1

Needs ffmpeg and Python alone. Without `--clip` it makes 10 seconds of 1280 × 720 pixels with one person, h264, of the sample clip
`demo/real.mp4`: once as high as the frame, and once half as high. The programs take turns, and medians and
the least count, since other work on the machine only adds. Processor time is that of the program and its ffmpeg and ffprobe together; on a busy
machine it tells more than the time by the clock.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

SAMPLE = Path(__file__).resolve().parents[1] / "demo" / "real.mp4"
ENCODER = ["-an", "-c:v", "libx264", "-preset", "medium", "-crf", "21", "-pix_fmt", "yuv420p"]
CLIPS = {"large face": 720, "middling face": 360}


def made(folder, name, side):
    """The sample clip in a frame of 1280 × 720, `side` pixels large."""
    path = Path(folder) / f"{name.replace(' ', '_')}.mp4"
    graph = f"scale={side}:{side}:flags=lanczos,pad=1280:720:(ow-iw)/2:(oh-ih)/2:color=0x808080,fps=30"
    source = ["-stream_loop", "-1", "-i", str(SAMPLE), "-vf", graph, "-t", "10"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *source, *ENCODER, str(path)], check=True)
    return path


def scored(program, clip, cores):
    """Processor seconds, seconds by the clock, and the report."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    output = subprocess.run([program, "score", str(clip), "--json"], check=True, capture_output=True, preexec_fn=pin)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return processor, seconds, json.loads(output.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unmask", required=True, nargs="+", help="one or several programs to compare")
    parser.add_argument("--clip", nargs="*", help="videos, instead of those that are made")
    parser.add_argument("--rounds", type=int, default=7, help="times that each is scored (default: %(default)s)")
    parser.add_argument("--cores", help="numbers of the cores to keep to, with commas between")
    arguments = parser.parse_args()
    cores = {int(core) for core in arguments.cores.split(",")} if arguments.cores else None
    with tempfile.TemporaryDirectory() as folder:
        clips = {clip: clip for clip in arguments.clip or []} or {n: made(folder, n, side) for n, side in CLIPS.items()}
        runs = {}
        for _ in range(arguments.rounds):
            for name, clip in clips.items():
                for program in arguments.unmask:
                    runs.setdefault((name, program), []).append(scored(program, clip, cores))
    print(f"load {os.getloadavg()[0]:.1f}, {len(cores) if cores else os.cpu_count()} cores")
    for (name, program), run in runs.items():
        processor, seconds, reports = zip(*run)
        score, frames = reports[0]["score"], reports[0]["video"]["frames_sampled"]
        print(
            f"{name}, {program}: {statistics.median(seconds):.2f} s (least {min(seconds):.2f}), processor "
            f"{statistics.median(processor):.2f} s (least {min(processor):.2f}); {frames} frames, score {score:.4f}"
        )


if __name__ == "__main__":
    main()
