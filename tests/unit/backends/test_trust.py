"""One file with every authority that code of an environment may need, each once."""

import os
import ssl

from aerodrome.backends.local import trust

OURS = "-----BEGIN CERTIFICATE-----\nb3Vycw==\n-----END CERTIFICATE-----\n"


def test_public_authorities_and_ours_are_in_it_each_once(tmp_path):
    authority = tmp_path / "ca.pem"
    without = trust.bundle(authority)
    authority.write_text(OURS)
    text = trust.bundle(authority)
    assert text == without + OURS
    found = text.split("-----BEGIN")
    assert len(found) == len(set(found)) > 100
    context = ssl.create_default_context(cadata=without)
    assert any("Amazon Root CA 1" in str(each["subject"]) for each in context.get_ca_certs())


def test_another_certificate_is_seen(tmp_path):
    authority = tmp_path / "ca.pem"
    for second, name in enumerate(("b25l", "dHdv")):
        authority.write_text(OURS.replace("b3Vycw==", name))
        os.utime(authority, (second, second))
        assert name in trust.bundle(authority)


def test_every_library_is_led_to_the_file(tmp_path):
    assert trust.variables(tmp_path) == dict.fromkeys(trust.VARIABLES, str(tmp_path))
