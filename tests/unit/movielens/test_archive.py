"""The archive of the example: MovieLens' shape, the same bytes every time."""

import csv
import hashlib
import io
import zipfile

from examples.movielens import archive


def members() -> dict[str, list[list[str]]]:
    with zipfile.ZipFile(io.BytesIO(archive.make())) as content:
        return {name: list(csv.reader(io.StringIO(content.read(name).decode()))) for name in content.namelist()}


def test_the_archive_has_the_shape_of_movielens():
    tables = members()
    assert {name: rows[0] for name, rows in tables.items()} == {
        "ml-invented/movies.csv": ["movieId", "title", "genres"],
        "ml-invented/ratings.csv": ["userId", "movieId", "rating", "timestamp"],
        "ml-invented/tags.csv": ["userId", "movieId", "tag", "timestamp"],
    }
    assert len(tables["ml-invented/movies.csv"]) == len(archive.FILMS) + 1
    assert all(len(row) == len(rows[0]) for rows in tables.values() for row in rows)


def test_titles_need_the_quoting_of_csv():
    titles = [row[1] for row in members()["ml-invented/movies.csv"][1:]]
    assert any("," in title for title in titles)
    assert any('"' in title for title in titles)
    assert titles == [film.title for film in archive.FILMS]


def test_ratings_are_half_stars_by_known_people_of_known_films():
    for rating in archive.ratings():
        assert 1 <= rating.user <= archive.USERS
        assert 1 <= rating.movie <= len(archive.FILMS)
        assert rating.stars * 2 in range(1, 11)


def test_the_bytes_never_change():
    digests = {hashlib.sha256(archive.make()).hexdigest() for _ in range(2)}
    assert len(digests) == 1
    with zipfile.ZipFile(io.BytesIO(archive.make())) as content:
        assert {member.date_time for member in content.infolist()} == {archive.MEMBER_DATE}
        assert {member.compress_type for member in content.infolist()} == {zipfile.ZIP_STORED}
