use proptest::prelude::*;

use super::*;

const CODINGS: [Coding; 4] = [Coding::Identity, Coding::Gzip, Coding::Brotli, Coding::Zstd];

fn encode(coding: Coding, plain: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Identity => plain.to_vec(),
        Coding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).expect("memory");
            encoder.finish().expect("memory")
        }
        Coding::Brotli => {
            let mut coded = Vec::new();
            let params = brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
            brotli::BrotliCompress(&mut &plain[..], &mut coded, &params).expect("memory");
            coded
        }
        Coding::Zstd => zstd::encode_all(plain, 3).expect("memory"),
    }
}

fn gather(coding: Coding, wire: &[u8], piece_bytes: usize, limits: BodyLimits) -> Result<(Bytes, u64), BodyError> {
    let mut inflow = Inflow::new(coding, None, limits)?;
    for piece in wire.chunks(piece_bytes) {
        inflow.push(Bytes::copy_from_slice(piece))?;
    }
    inflow.finish()
}

fn taken(coding: Coding, wire: &[u8]) -> Result<Bytes, BodyError> {
    gather(coding, wire, 1000, BodyLimits::default()).map(|(body, _)| body)
}

proptest! {
    #[test]
    fn a_body_comes_out_as_it_went_in_however_it_is_cut(
        plain in proptest::collection::vec(any::<u8>(), 0..5000),
        piece_bytes in 1_usize..3000,
    ) {
        for coding in CODINGS {
            let wire = encode(coding, &plain);
            let (body, wire_bytes) = gather(coding, &wire, piece_bytes, BodyLimits::default()).expect("an honest body");
            prop_assert_eq!(&body[..], &plain[..]);
            prop_assert_eq!(wire_bytes, wire.len() as u64);
        }
    }

    #[test]
    fn a_body_cut_short_is_never_taken_for_whole(plain in proptest::collection::vec(any::<u8>(), 1..2000), cut: usize) {
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let wire = encode(coding, &plain);
            let short = &wire[..1 + cut % (wire.len() - 1)];
            let error = taken(coding, short).expect_err("half a body");
            // A gzip checksum that is cut short is taken for a wrong one.
            let wrong = coding == Coding::Gzip && error == BodyError::Encoding(EncodingError::Corrupt);
            prop_assert!(wrong || error == BodyError::Encoding(EncodingError::Truncated), "{:?}: {:?}", coding, error);
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused_without_a_panic(wire in proptest::collection::vec(any::<u8>(), 0..500)) {
        for coding in CODINGS {
            let _ = taken(coding, &wire);
        }
    }
}

#[test]
fn a_single_plain_piece_is_not_copied() {
    let piece = Bytes::from(vec![7; 100]);
    let mut inflow = Inflow::new(Coding::Identity, Some(100), BodyLimits::default()).expect("small");
    inflow.push(piece.clone()).expect("small");
    inflow.push(Bytes::new()).expect("nothing");
    assert_eq!(inflow.finish().expect("whole").0.as_ptr(), piece.as_ptr());
}

#[test]
fn an_empty_body_needs_no_coding() {
    for coding in CODINGS {
        assert_eq!(gather(coding, b"", 1, BodyLimits::default()), Ok((Bytes::new(), 0)), "{coding:?}");
    }
}

#[test]
fn a_bomb_stops_at_the_ratio_long_before_it_is_decoded() {
    let plain = vec![0; 8 << 20];
    let limits = BodyLimits { decoded_bytes: 1 << 30, ..BodyLimits::default() };
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
        let wire = encode(coding, &plain);
        assert!(wire.len() < 10_000, "{coding:?}: {}", wire.len());
        let error = gather(coding, &wire, 8 << 10, limits).expect_err("a bomb");
        assert_eq!(error, BodyError::TooLarge(TooLarge::Ratio { limit: 100 }), "{coding:?}");
    }
}

#[test]
fn a_body_stops_at_its_decoded_limit() {
    let plain = vec![0; 100_001];
    for (limit, fits) in [(100_000, false), (100_001, true)] {
        let limits = BodyLimits { decoded_bytes: limit, ratio: 100, ratio_after_bytes: 1 << 20 };
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let result = gather(coding, &encode(coding, &plain), 1000, limits);
            let too_large = BodyError::TooLarge(TooLarge::Decoded { limit_bytes: limit });
            assert_eq!(result.is_ok(), fits, "{coding:?}");
            assert!(fits || result == Err(too_large), "{coding:?}: {result:?}");
        }
        let result = gather(Coding::Identity, &plain, 1000, limits);
        assert!(fits == result.is_ok() || result == Err(BodyError::TooLarge(TooLarge::Wire { limit_bytes: limit })));
    }
}

#[test]
fn a_small_body_may_grow_as_it_likes() {
    let plain = vec![0; 1 << 20];
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
        assert_eq!(taken(coding, &encode(coding, &plain)).expect("small").len(), 1 << 20, "{coding:?}");
    }
}

#[test]
fn a_promise_beyond_the_limit_is_refused_at_once_and_one_within_sets_little_aside() {
    let limits = BodyLimits::default();
    assert!(Inflow::new(Coding::Identity, Some(limits.decoded_bytes + 1), limits).is_err());
    let mut inflow = Inflow::new(Coding::Identity, Some(limits.decoded_bytes), limits).expect("within the limit");
    inflow.push(Bytes::from_static(b"a")).expect("small");
    inflow.push(Bytes::from_static(b"b")).expect("small");
    match &inflow.state {
        State::Plain(bytes) => assert!(bytes.capacity() as u64 <= MAX_FORESEEN_BYTES),
        _ => panic!("two pieces are gathered"),
    }
}

#[test]
fn a_zstd_frame_cannot_claim_a_huge_window() {
    // Magic, then a header with neither size nor checksum, then a window of 2^(10+30) bytes, then an empty last block.
    let wire = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 30 << 3, 0x01, 0x00, 0x00];
    assert_eq!(taken(Coding::Zstd, &wire), Err(BodyError::Encoding(EncodingError::Corrupt)));
    // The same with 2^(10+16) bytes, more than 8 MiB: what zstd takes by default and content coding does not.
    let wire = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 16 << 3, 0x01, 0x00, 0x00];
    assert_eq!(taken(Coding::Zstd, &wire), Err(BodyError::Encoding(EncodingError::Corrupt)));
    let wire = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3, 0x01, 0x00, 0x00];
    assert_eq!(taken(Coding::Zstd, &wire), Ok(Bytes::new()), "8 MiB is fine");
}

#[test]
fn corrupt_bytes_and_bytes_after_the_end_are_refused() {
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
        let corrupt = Err(BodyError::Encoding(EncodingError::Corrupt));
        assert_eq!(taken(coding, b"\xff{\"plain\": \"json\"}\xff"), corrupt, "{coding:?}");
        let mut wire = encode(coding, b"{\"ok\":true}");
        wire.extend_from_slice(b"garbage after the end");
        assert_eq!(taken(coding, &wire), corrupt, "{coding:?}");
    }
    let mut wire = encode(Coding::Gzip, b"{\"ok\":true}");
    let checksum = wire.len() - 8;
    wire[checksum] ^= 1;
    assert!(taken(Coding::Gzip, &wire).is_err(), "a wrong checksum");
}

#[test]
fn several_members_of_one_coding_are_one_body() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let wire = [encode(coding, b"one "), encode(coding, b"body")].concat();
        assert_eq!(taken(coding, &wire).expect("whole"), &b"one body"[..], "{coding:?}");
    }
}
