//! Bodies that were compressed, inflated up to a bound.

use super::answer::Refusal;
use flate2::bufread::MultiGzDecoder;
use std::io::Read;

/// Inflates a body; what comes to more than `limit` bytes is refused after that many.
pub(crate) fn inflate(body: &[u8], limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(body.len().saturating_mul(4).min(limit));
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    match MultiGzDecoder::new(body).take(bound).read_to_end(&mut out) {
        Ok(_) if out.len() > limit => Err(Refusal::too_large(limit)),
        Ok(_) => Ok(out),
        Err(_) => Err(Refusal::bad("bad_request", "the body is said to be gzip and cannot be read as such")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn whole_bodies_come_back_and_bombs_do_not() {
        let body = vec![b'x'; 1_000];
        assert_eq!(inflate(&gzip(&body), 1_000).unwrap(), body);
        assert!(inflate(&gzip(&body), 999).unwrap_err().message.contains("999"));
        let bomb = gzip(&vec![0; 50 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(inflate(&bomb, 512_000).unwrap_err().status, 400);
        for broken in [&b"no gzip"[..], &gzip(&body)[..20], b""] {
            assert!(inflate(broken, 1_000).is_err());
        }
    }
}
