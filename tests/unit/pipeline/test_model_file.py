import io

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from pipeline import model_file


@pytest.fixture(params=["unigram", "bpe", "char", "word"])
def model(request) -> bytes:
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(["the cat sat on the mat"] * 9),
        model_writer=out,
        model_type=request.param,
        vocab_size=300,
        hard_vocab_limit=False,
        byte_fallback=request.param == "bpe",
        user_defined_symbols=["<sep>"],
        minloglevel=2,
    )
    return out.getvalue()


def test_pieces_and_kind_are_those_that_protobuf_reads(model):
    expected = sentencepiece_model_pb2.ModelProto.FromString(model)
    assert model_file.kind(model) == expected.trainer_spec.model_type
    assert model_file.pieces(model) == [
        (piece.piece, piece.score, piece.type) for piece in expected.pieces
    ]


def test_the_fields_of_a_message_are_all_its_bytes(model):
    assert b"".join(field for _, field, _ in model_file.fields(model)) == model


def test_a_field_is_read_as_it_was_written():
    content = b"x" * 300
    (found,) = model_file.fields(model_file.delimited(7, content))
    assert found == (7, model_file.delimited(7, content), content)
