"""Still Life: parse flags, build the page, launch."""

from ui import launch, place
from ui.desk import Desk
from ui.shell import build


def main(argv: list[str] | None = None) -> None:
    args = launch.flags().parse_args(argv)
    here = place.settle()
    settings = launch.settings(args, here)
    desk = Desk(here, device=args.device, attention=args.attention)
    desk.warm()
    launch.start(build(desk), settings)


if __name__ == "__main__":
    main()
