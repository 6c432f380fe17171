"""`python -m sandbox --port N`: the stand-ins in the foreground, without the rest of Relais."""

import argparse

from sandbox import server


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Stand-ins for the vendors' APIs.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=server.PORT, help="port, 0 for a free one (default: %(default)s)")
    chosen = parser.parse_args()
    server.serve(chosen.host, chosen.port, say=lambda url: print(f"The sandbox listens on {url}", flush=True))


if __name__ == "__main__":
    main()
