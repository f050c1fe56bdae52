//! Compressed bodies, unpacked as they arrive and never beyond a limit.
//!
//! A few kilobytes can stand for gigabytes. Every decoder writes into a sink that refuses the first byte beyond what
//! is allowed, for the whole body and for what one piece of it unpacks to, so that memory stays bounded however
//! much of it the other side would like.

use bytes::Bytes;
use std::io::{self, Write};

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// From a `Content-Encoding`; `Ok(None)` for none.
    pub(super) fn parse(value: Option<&str>) -> Result<Option<Self>, String> {
        let Some(value) = value else { return Ok(None) };
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "deflate" => Ok(Some(Self::Deflate)),
            "br" => Ok(Some(Self::Brotli)),
            "zstd" => Ok(Some(Self::Zstd)),
            other => Err(other.to_owned()),
        }
    }
}

/// What is asked for where unpacking is on.
pub(super) const ACCEPTED: &str = "gzip, br, zstd";

/// Most that one piece of a body, as it comes off the wire (some 16 KiB), may unpack to.
pub(super) const PIECE_MAX: u64 = 32 << 20;
/// Largest window a Zstandard body may ask for, as RFC 9659 has it.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Why a body could not be unpacked.
#[derive(Debug)]
pub(super) enum DecodeError {
    /// It is larger than allowed.
    TooLarge,
    /// A piece of it grows beyond [`PIECE_MAX`].
    TooDense,
    /// It is not what it says it is.
    Broken(io::Error),
}

/// Takes what is unpacked, up to a limit.
struct Sink {
    bytes: Vec<u8>,
    /// Bytes that may still come in all.
    left: u64,
    /// The limit that was struck.
    struck: Option<DecodeError>,
}

impl Sink {
    fn limit_struck(&self, piece: u64) -> Option<DecodeError> {
        if piece > self.left {
            return Some(DecodeError::TooLarge);
        }
        (piece > PIECE_MAX - self.bytes.len() as u64).then_some(DecodeError::TooDense)
    }
}

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if let Some(limit) = self.limit_struck(piece.len() as u64) {
            self.struck = Some(limit);
            return Err(io::Error::other("larger than allowed"));
        }
        self.left -= piece.len() as u64;
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A decoder fed with pieces of the packed body.
pub(super) struct Decoder {
    engine: Engine,
    fed: bool,
}

enum Engine {
    Gzip(Box<flate2::write::MultiGzDecoder<Sink>>),
    Zlib(Box<flate2::write::ZlibDecoder<Sink>>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Sink>>),
    Zstd(Box<Zstd>),
}

impl Decoder {
    /// Unpacks to `limit` bytes at most.
    pub(super) fn new(coding: Coding, limit: u64) -> io::Result<Self> {
        let sink = Sink { bytes: Vec::new(), left: limit, struck: None };
        let engine = match coding {
            Coding::Gzip => Engine::Gzip(Box::new(flate2::write::MultiGzDecoder::new(sink))),
            // "deflate" is the zlib format (RFC 9110, 8.4.1.2).
            Coding::Deflate => Engine::Zlib(Box::new(flate2::write::ZlibDecoder::new(sink))),
            Coding::Brotli => {
                Engine::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(sink, 16 * 1024)))
            }
            Coding::Zstd => Engine::Zstd(Box::new(Zstd::new(sink)?)),
        };
        Ok(Self { engine, fed: false })
    }

    /// Unpacks a piece.
    pub(super) fn push(&mut self, packed: &[u8]) -> Result<Bytes, DecodeError> {
        self.fed |= !packed.is_empty();
        let result = match &mut self.engine {
            Engine::Gzip(d) => d.write_all(packed),
            Engine::Zlib(d) => d.write_all(packed),
            Engine::Brotli(d) => d.write_all(packed),
            Engine::Zstd(d) => d.write_all(packed),
        };
        self.outcome(result)
    }

    /// The packed body is over: what is left of it. A body cut short is an error; no body at all is none.
    pub(super) fn finish(&mut self) -> Result<Bytes, DecodeError> {
        if !self.fed {
            return Ok(Bytes::new());
        }
        let result = match &mut self.engine {
            Engine::Gzip(d) => d.try_finish(),
            Engine::Zlib(d) => d.try_finish(),
            Engine::Brotli(d) => d.close(),
            Engine::Zstd(d) => d.finish(),
        };
        self.outcome(result)
    }

    fn outcome(&mut self, result: io::Result<()>) -> Result<Bytes, DecodeError> {
        let sink = match &mut self.engine {
            Engine::Gzip(d) => d.get_mut(),
            Engine::Zlib(d) => d.get_mut(),
            Engine::Brotli(d) => d.get_mut(),
            Engine::Zstd(d) => &mut d.sink,
        };
        match result {
            Ok(()) => Ok(std::mem::take(&mut sink.bytes).into()),
            Err(error) => Err(sink.struck.take().unwrap_or(DecodeError::Broken(error))),
        }
    }
}

/// Zstandard by its raw interface: the library's writer does not tell a body that was cut short.
struct Zstd {
    raw: zstd::stream::raw::Decoder<'static>,
    sink: Sink,
    block: Vec<u8>,
    mid_frame: bool,
}

impl Zstd {
    fn new(sink: Sink) -> io::Result<Self> {
        let mut raw = zstd::stream::raw::Decoder::new()?;
        raw.set_parameter(zstd::stream::raw::DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(Self { raw, sink, block: vec![0; 128 * 1024], mid_frame: false })
    }

    fn write_all(&mut self, packed: &[u8]) -> io::Result<()> {
        use zstd::stream::raw::Operation;
        let mut at = 0;
        loop {
            let status = self.raw.run_on_buffers(&packed[at..], &mut self.block)?;
            at += status.bytes_read;
            self.sink.write_all(&self.block[..status.bytes_written])?;
            if status.bytes_read > 0 || status.bytes_written > 0 {
                self.mid_frame = status.remaining != 0;
            }
            // A full block may have more behind it although all input is taken.
            if at == packed.len() && status.bytes_written < self.block.len() {
                return Ok(());
            }
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self.mid_frame {
            true => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "ends within a frame")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"one two three one two three one two three one two three";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// `TEXT` by the reference encoder at quality 11.
    const BROTLI: &[u8] = &[
        27, 54, 0, 248, 29, 9, 54, 78, 118, 109, 158, 133, 132, 53, 72, 217, 155, 156, 160, 75, 52, 183, 187,
        112, 42, 30, 96, 74, 14, 43,
    ];

    fn packed() -> [(Coding, Vec<u8>); 4] {
        [
            (Coding::Gzip, gzip(TEXT)),
            (Coding::Deflate, zlib(TEXT)),
            (Coding::Zstd, zstd::encode_all(TEXT, 3).unwrap()),
            (Coding::Brotli, BROTLI.to_vec()),
        ]
    }

    fn unpack(coding: Coding, packed: &[u8], limit: u64, piece: usize) -> Result<Vec<u8>, DecodeError> {
        let mut decoder = Decoder::new(coding, limit).unwrap();
        let mut all = Vec::new();
        for piece in packed.chunks(piece) {
            all.extend_from_slice(&decoder.push(piece)?);
        }
        all.extend_from_slice(&decoder.finish()?);
        Ok(all)
    }

    #[test]
    fn every_coding_unpacks_in_pieces_of_any_size() {
        for (coding, bytes) in packed() {
            for piece in [1, 3, 1_000] {
                assert_eq!(unpack(coding, &bytes, 1_000, piece).unwrap(), TEXT, "{coding:?} by {piece}");
            }
        }
    }

    #[test]
    fn the_limit_is_exact() {
        for (coding, bytes) in packed() {
            let length = TEXT.len() as u64;
            assert!(unpack(coding, &bytes, length, 7).is_ok());
            let error = unpack(coding, &bytes, length - 1, 7).unwrap_err();
            assert!(matches!(error, DecodeError::TooLarge), "{coding:?}: {error:?}");
        }
    }

    #[test]
    fn a_body_cut_short_or_made_up_is_an_error() {
        for (coding, bytes) in packed() {
            let short = unpack(coding, &bytes[..bytes.len() - 3], 1_000, 5);
            assert!(matches!(short, Err(DecodeError::Broken(_))), "{coding:?} cut short: {short:?}");
            let noise = unpack(coding, b"this is not packed at all, not in any way", 1_000, 5);
            assert!(matches!(noise, Err(DecodeError::Broken(_))), "{coding:?} made up: {noise:?}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0_u8; 64 << 20];
        for (coding, bomb) in
            [(Coding::Gzip, gzip(&zeros)), (Coding::Zstd, zstd::encode_all(&zeros[..], 19).unwrap())]
        {
            assert!(bomb.len() < 80_000, "{coding:?}: {} bytes", bomb.len());
            let mut decoder = Decoder::new(coding, 1 << 20).unwrap();
            let error = decoder.push(&bomb).unwrap_err();
            assert!(matches!(error, DecodeError::TooLarge), "{error:?}");
            let mut decoder = Decoder::new(coding, u64::MAX).unwrap();
            let error = decoder.push(&bomb).unwrap_err();
            assert!(matches!(error, DecodeError::TooDense), "one piece: {error:?}");
        }
    }
}
