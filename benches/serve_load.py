"""Parallel clients of `unmask serve`: what is lost, how long an answer takes, and how memory grows. By hand, with the release build:

    python benches/serve_load.py --unmask target/release/unmask --seconds 120

It starts a server, has each client hand in a clip, fetch its report and begin again, and prints a table in Markdown."""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time

CLIPS = ["real.mp4", "fake.mp4", "no_face.mp4"]


def resident_mb(process):
    """Memory of a process that is in use, in megabytes (Linux)."""
    with open(f"/proc/{process}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return float("nan")


class Client(threading.Thread):
    """Hands clips in, one after the other, until the time is over."""

    def __init__(self, number, address, clips, end, every_fourth_is_wrong):
        super().__init__()
        self.number, self.address, self.clips, self.end = number, address, clips, end
        self.every_fourth_is_wrong = every_fourth_is_wrong
        self.answers, self.turned_away, self.refused, self.lost = [], 0, 0, []

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=600)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, json.loads(response.read())
        finally:
            connection.close()

    def run(self):
        turn = 0
        while time.monotonic() < self.end:
            turn += 1
            if self.every_fourth_is_wrong and turn % 4 == 0:
                self.ask_wrongly(turn)
                continue
            clip = CLIPS[(self.number + turn) % len(CLIPS)]
            try:
                self.score(f"{self.number}-{turn}-{clip}", self.clips[clip], clip)
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                self.lost.append(f"{self.number}-{turn}: {error!r}")

    def score(self, name, body, clip):
        begun = time.monotonic()
        while True:
            status, headers, document = self.ask("POST", f"/jobs?name={name}", body)
            if status == 202:
                break
            if status != 503:
                raise ValueError(document)
            self.turned_away += 1
            time.sleep(min(float(headers["retry-after"]), 1.0))
        while True:
            status, _, report = self.ask("GET", f"/jobs/{document['id']}/report?wait=300")
            if status == 200:
                break
            if report["error"]["code"] != "not_finished":
                raise ValueError(report)
        expected = "no_face" if clip == "no_face.mp4" else report["verdict"]
        if report["input"] != name or report["verdict"] != expected:
            raise ValueError(f"the report is not that of {name}")
        self.answers.append(time.monotonic() - begun)

    def ask_wrongly(self, turn):
        wrong = [("GET", "/jobs/none", None, 404), ("GET", "/jobs", None, 405), ("POST", "/jobs?x=1", b"video", 400), ("POST", "/jobs", b"", 400)]
        method, path, body, expected = wrong[turn // 4 % len(wrong)]
        status, _, document = self.ask(method, path, body)
        if status not in (expected, 503) or set(document["error"]) != {"code", "message"}:
            self.lost.append(f"{method} {path}: {status} {document}")
        self.refused += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unmask", default="target/release/unmask")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--queue", type=int, default=6)
    parser.add_argument("--frames", type=int, default=8)
    options = parser.parse_args()
    demo = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo")
    clips = {}
    for name in CLIPS:
        with open(os.path.join(demo, name), "rb") as clip:
            clips[name] = clip.read()
    with tempfile.TemporaryDirectory() as temporary:
        command = [options.unmask, "serve", "--port", "0", "--queue", str(options.queue), "--frames", str(options.frames)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": temporary})
        try:
            load(server, options, clips, temporary)
        finally:
            server.terminate()
            server.wait()
        print(f"exit status {server.returncode}, {len(os.listdir(temporary))} temporary files left")


def load(server, options, clips, temporary):
    address = server.stdout.readline().split("http://")[1].strip().rstrip("/")
    begun = time.monotonic()
    end = begun + options.seconds
    clients = [Client(number, address, clips, end, True) for number in range(options.clients)]
    for client in clients:
        client.start()
    memory, files = [(0.0, resident_mb(server.pid))], 0
    while any(client.is_alive() for client in clients):
        time.sleep(1)
        memory.append((time.monotonic() - begun, resident_mb(server.pid)))
        folder = os.path.join(temporary, os.listdir(temporary)[0])
        files = max(files, len(os.listdir(folder)) - 1)
    answers = sorted(answer for client in clients for answer in client.answers)
    lost = [words for client in clients for words in client.lost]
    took = time.monotonic() - begun
    share = lambda part: answers[min(len(answers) - 1, int(part * len(answers)))]
    print("| | |\n|---|---|")
    print(f"| reports | {len(answers)} in {took:.0f} s, {len(answers) / took:.2f} a second |")
    print(f"| lost or wrong | {len(lost)} |")
    print(f"| turned away with 503, and came again | {sum(client.turned_away for client in clients)} times |")
    print(f"| wrong requests, each refused with code and sentence | {sum(client.refused for client in clients)} |")
    if answers:
        print(f"| from the first attempt to the report | median {statistics.median(answers):.1f} s, 95 in 100 within {share(0.95):.1f} s, longest {answers[-1]:.1f} s |")
    quarters = [max(mb for second, mb in memory if second <= took * part / 4) for part in (1, 2, 3, 4)]
    print(f"| memory at the start | {memory[0][1]:.0f} MB |")
    print("| most memory until a quarter, half, three quarters, the end | " + ", ".join(f"{mb:.0f}" for mb in quarters) + " MB |")
    print(f"| most temporary files at once | {files} |")
    for words in lost[:20]:
        print(words)


if __name__ == "__main__":
    main()
