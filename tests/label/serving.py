"""`python -m tests.label.serving DIR` serves a planted campaign, like the command but for Ray."""

import sys
from pathlib import Path

from tests.label.scored import answers_of, campaign_in, pictures_of, planted_in
from wwdc.label.app import make_app
from wwdc.label.server import listen, serve
from wwdc.tune.stopping import StopRequest

TOKEN = "token-of-a-test"


def main(folder: Path) -> None:
    embedding, scores, objects = planted_in(folder)
    campaign = campaign_in(folder, objects)
    answers = answers_of(campaign, embedding, scores)
    app = make_app(answers, pictures_of(objects), token=TOKEN, image_size=32)
    stop = StopRequest()
    with stop.listening():
        serve(app, listen(0, str(folder)), TOKEN, stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
