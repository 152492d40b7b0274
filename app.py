"""Still Life: parse flags, start a worker for jobs, build the page, launch."""

from core import logs
from jobs.worker import start_background
from ui import launch, place
from ui.desk import Desk
from ui.shell import build


def main(argv: list[str] | None = None) -> None:
    args = launch.flags().parse_args(argv)
    logs.begin(args.log_prompts)
    here = place.settle()
    settings = launch.settings(args, here)
    desk = Desk(here, device=args.device, attention=args.attention)
    desk.warm()
    worker = None if args.no_worker else start_background(*(["--log-prompts"] if args.log_prompts else []))
    try:
        launch.start(build(desk), settings, desk)
    finally:
        if worker is not None:
            worker.stop()


if __name__ == "__main__":
    main()
