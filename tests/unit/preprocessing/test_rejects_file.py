import gzip

from preprocessing import rejects_file


def test_a_byte_that_cannot_be_decoded_does_not_look_like_text_that_says_so():
    rejects = [
        rejects_file.Reject("train", 1, "encoding", b"caf\xe9\tx"),
        rejects_file.Reject("train", 2, "columns", rb"caf\xe9"),
        rejects_file.Reject("train", 3, "columns", b"a\nb\r\\n"),
    ]
    content = gzip.decompress(rejects_file.lines("a.tsv", rejects))
    assert content.decode().split("\n") == [
        "a.tsv\t1\tencoding\tcaf\\xe9\tx",
        "a.tsv\t2\tcolumns\tcaf\\\\xe9",
        "a.tsv\t3\tcolumns\ta\\nb\\r\\\\n",
        "",
    ]
