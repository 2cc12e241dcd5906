"""Milliseconds a frame of networks on the CPU: `unmask bench` beside ONNX Runtime on the same machine, one after the other.

    pip install -r tests/reference/requirements.txt
    cargo build --release
    python benches/cpu_speed.py --unmask target/release/unmask
    python benches/cpu_speed.py --unmask target/release/unmask --threads 1 --batch 1 xception

Both have random weights, which take as long as trained ones. ONNX Runtime runs what PyTorch exports of timm's networks of the
same sizes; batch norms are merged into convolutions there, as ONNX Runtime does. The two take turns, round after round, and
medians count; measure on an idle machine, since other work costs the two unlike much.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime
from onnx_files import NETWORKS, exported


def by_onnxruntime(session, name, batch, repeat):
    """The median of the repetitions, after one that does not count."""
    side = NETWORKS[name][1]
    pixels = np.zeros((batch, 3, side, side), np.float32)
    times = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        session.run(None, {"pixels": pixels})
        times.append((time.perf_counter() - start) * 1000 / batch)
    return statistics.median(times[1:])


def by_unmask(program, name, batch, repeat, threads, bits):
    """The same of ours, in f32 or with weights of 8-bit integers."""
    command = [program, "bench", "--only-model", "--json", "--device", "cpu", "--architecture", name]
    command += ["--batch", str(batch), "--repeat", str(repeat), *(["--int8"] if bits == "int8" else [])]
    printed = subprocess.check_output(command, text=True, env={**os.environ, "RAYON_NUM_THREADS": str(threads)})
    return json.loads(printed)[0]["milliseconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"which of {', '.join(NETWORKS)} (default: all)")
    parser.add_argument("--unmask", required=True, help="the program")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each (default: %(default)s)")
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 8], help="frames at a time (default: %(default)s)")
    parser.add_argument("--int8", action="store_true", help="ours with 8-bit integers, too")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions in a turn (default: %(default)s)")
    arguments = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    print(f"load {os.getloadavg()[0]:.1f}, {arguments.threads} threads, ms a frame: median (least to most) of the turns")
    kinds = ["f32", "int8"] if arguments.int8 else ["f32"]
    print("network, batch: unmask, ONNX Runtime in f32, ratio (above 1: unmask is faster)")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.networks or NETWORKS:
            path = exported(name, folder)
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            for batch in arguments.batch:
                times = {kind: [] for kind in [*kinds, "onnxruntime"]}
                for _ in range(arguments.rounds):
                    for kind in kinds:
                        ours = by_unmask(arguments.unmask, name, batch, arguments.repeat, arguments.threads, kind)
                        times[kind].append(ours)
                    times["onnxruntime"].append(by_onnxruntime(session, name, batch, arguments.repeat))
                shown = {kind: f"{statistics.median(x):.2f} ({min(x):.2f} to {max(x):.2f})" for kind, x in times.items()}
                theirs = statistics.median(times["onnxruntime"])
                for kind in kinds:
                    ratio = theirs / statistics.median(times[kind])
                    print(f"{name}, {batch}, {kind}: {shown[kind]}, {shown['onnxruntime']}, {ratio:.2f}", flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
