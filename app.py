"""Still Life: parse flags, start a worker for jobs, build the page, serve it."""

from dataclasses import replace

from core import logs
from jobs.worker import start_background
from models import catalogue
from ui import address, launch, place, scratch


def main(argv: list[str] | None = None) -> None:
    args = launch.flags().parse_args(argv)
    logs.begin(args.log_prompts)
    here = place.settle()
    settings = launch.settings(args, here)
    here = replace(here, login=bool(settings.logins))
    launch.settle_studio(args.studio)
    catalogue.use_any_base(args.any_base)
    try:
        scratch.settle()
        sockets = address.listen(settings.host, settings.port)
    except ValueError as e:
        raise SystemExit(str(e)) from None
    from ui.desk import Desk  # only now, as gradio reads its folder of temporary files when it is imported
    from ui.serve import Server
    from ui.shell import build

    desk = Desk(here, device=args.device, attention=args.attention, backend=args.backend)
    worker = None if args.no_worker else start_background(*(["--log-prompts"] if args.log_prompts else []))
    try:
        Server(build(desk), desk, settings, sockets).serve_until_stopped()
    finally:
        if worker is not None:
            worker.stop()


if __name__ == "__main__":
    main()
    launch.leave()
