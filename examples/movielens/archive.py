"""A small archive in the shape of MovieLens, made of invented films, and a loopback server that hands it out.

The quickstart serves it to the `movielens` DAG, and the tests compute from it what the pipeline must find. The same
bytes come out on every machine: all is arithmetic, no randomness and no clock. Nothing here is real MovieLens data.
"""

from __future__ import annotations

import csv
import io
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

FOLDER = "ml-invented"
"""The folder inside the archive, as MovieLens archives have one."""

USERS = 80
"""People who rate; arbitrary, but enough for the mean ratings to differ."""

FIRST_SECOND = 1_700_000_000
"""Seconds since 1970 of the first rating; arbitrary."""

MEMBER_DATE = (2024, 1, 1, 0, 0, 0)
"""The date of every file in the archive; arbitrary but fixed, so that the bytes are."""


class Film(NamedTuple):
    """One film: its title as MovieLens writes it, its genres, how well it is liked (0 to 10) and its tags."""

    title: str
    genres: str
    appeal: int
    tags: tuple[str, ...]


FILMS = (
    Film("Lantern Thief, The (1978)", "Drama|Mystery", 9, ("slow burn", "lighthouse", "rain")),
    Film('"Hello," Said the Kettle (2004)', "Animation|Comedy", 8, ("talking kitchen", "all ages")),
    Film("Nine Tuesdays in Lisbon (2011)", "Romance", 6, ("trams", "rain")),
    Film("Cartographer's Daughter, The (1993)", "Adventure|Drama", 10, ("maps", "true friendship")),
    Film("Please, Mind the Gap (2016)", "Comedy", 5, ("underground",)),
    Film("Orchard of Small Machines, An (1987)", "Sci-Fi", 8, ("robots", "cider")),
    Film("Salt, Smoke, and Thunder (1969)", "Adventure|War", 4, ("sea battle",)),
    Film('The Man They Called "Tuesday" (1955)', "Crime|Mystery", 7, ("hats", "slow burn")),
    Film("Midnight at the Post Office (2019)", "Horror", 3, ("letters",)),
    Film("Último Faro, El (2008)", "Drama", 7, ("lighthouse", "subtitles")),
    Film("Umbrella for Two, An (1961)", "Comedy|Romance", 6, ("rain",)),
    Film("Signal to Noise, and Back (2022)", "Sci-Fi|Thriller", 9, ("radio", "robots")),
    Film("Beekeeper's Apprentice Sings, The (1999)", "Musical", 2, ()),
    Film("Train That Forgot Its Name, The (2013)", "Animation|Fantasy", 10, ("trams", "all ages", "maps")),
    Film("Quiet, Please (1974)", "Drama|Thriller", 5, ("library",)),
    Film("Seven Ways to Fold a Map (2001)", "Documentary", 7, ("maps",)),
    Film("Winter Ferry (1982)", "Drama", 4, ("sea battle", "slow burn")),
    Film('Operation "Marzipan" (1966)', "Comedy|War", 6, ("cake", "hats")),
    Film("Last Repair Shop in Town, The (2018)", "Documentary|Drama", 8, ("robots", "true friendship")),
    Film("Moon, Slightly Used (1979)", "Sci-Fi|Comedy", 7, ("cider", "radio")),
    Film("House of a Thousand Teaspoons (2006)", "Horror|Mystery", 1, ("talking kitchen",)),
    Film("Painted Parrot, A (1990)", "Children|Comedy", 3, ("all ages",)),
    Film("Untitled Harbour Film", "(no genres listed)", 8, ()),
    Film("Long Way Round to Breakfast, The (2015)", "Adventure|Comedy", 9, ("cake", "trams")),
)


class Rating(NamedTuple):
    """One person's opinion of one film: half a star to five stars."""

    user: int
    movie: int
    stars: float


def ratings() -> Iterator[Rating]:
    """Give every rating. Each person has seen about half of the films, and likes them near their appeal."""
    for user in range(1, USERS + 1):
        for movie, film in enumerate(FILMS, start=1):
            chance = (user * 37 + movie * 101 + user * movie * 7) % 97  # looks disordered, is not random
            if chance % 2:
                continue
            mood = chance % 7 - 3
            yield Rating(user, movie, min(10, max(1, film.appeal + mood)) / 2)


def tags() -> Iterator[tuple[int, int, str]]:
    """Give every tag as (user, movie, tag): the first tag of a film is given most often."""
    for movie, film in enumerate(FILMS, start=1):
        for place, tag in enumerate(film.tags):
            for copy in range(len(film.tags) - place):
                yield (movie * 11 + place * 5 + copy) % USERS + 1, movie, tag


def make(folder: str = FOLDER) -> bytes:
    """Make the zip archive: `movies.csv`, `ratings.csv` and `tags.csv` with MovieLens' headers, in this folder."""
    movies = ((movie, film.title, film.genres) for movie, film in enumerate(FILMS, start=1))
    files = {
        "movies.csv": _text(("movieId", "title", "genres"), movies),
        "ratings.csv": _text(("userId", "movieId", "rating", "timestamp"), _stamped(ratings())),
        "tags.csv": _text(("userId", "movieId", "tag", "timestamp"), _stamped(tags())),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # stored: packed bytes differ between zlibs
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{folder}/{name}", MEMBER_DATE), text.encode())
    return buffer.getvalue()


@contextmanager
def served(content: bytes) -> Iterator[str]:
    """Serve `content` on a free loopback port for the length of a `with` block; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != f"/{FOLDER}.zip":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/zip")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing: the terminal belongs to the progress bars."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="archive", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/{FOLDER}.zip"
        finally:
            server.shutdown()
            thread.join()


def _stamped(rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    return ((*row, FIRST_SECOND + 3600 * number) for number, row in enumerate(rows))


def _text(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
