"""Makes tensorboard.events: an event file of two scalars, as TensorBoard's own classes write it.

Times are fixed: the header's is 1.5 s, those of the scalars 2.5 and 3.5 s.
"""

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from common import output_argument


def main():
    path = output_argument(__doc__).parse_args().output / "tensorboard.events"
    scalars = [(2.5, 1, "train/loss", 0.75), (3.5, 300, "validation/auc", 0.9375)]
    events = [event_pb2.Event(wall_time=1.5, file_version="brain.Event:2")]
    for time, step, tag, value in scalars:
        summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)])
        events.append(event_pb2.Event(wall_time=time, step=step, summary=summary))
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())
        writer.flush()


if __name__ == "__main__":
    main()
