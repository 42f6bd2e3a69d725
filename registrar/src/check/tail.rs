//! The end of a stream, of which the beginning may be too long to keep: what a check shows as its output.

/// The last so many bytes of a stream.
pub(super) struct Tail {
    bytes: Vec<u8>,
    limit: usize,
    written: usize,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            written: 0,
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.written += chunk.len();
        let chunk = &chunk[chunk.len().saturating_sub(self.limit)..];
        self.bytes.extend_from_slice(chunk);
        // At most twice the limit is held, so each byte is moved once on average.
        if self.bytes.len() > 2 * self.limit {
            self.cut();
        }
    }

    /// How many bytes there were in all.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    fn cut(&mut self) {
        let surplus = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..surplus);
    }

    /// As text; what is not UTF-8, or was cut in two, becomes replacement characters.
    pub(super) fn into_text(mut self) -> String {
        self.cut();
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_bytes() {
        let table: [(usize, &[&str], &str); 6] = [
            (4, &[], ""),
            (4, &["ab"], "ab"),
            (4, &["abcdef"], "cdef"),
            (4, &["ab", "cd", "ef", "gh", "i"], "fghi"),
            (0, &["abc"], ""),
            (1, &["a", "bc"], "c"),
        ];
        for (limit, chunks, kept) in table {
            let mut tail = Tail::new(limit);
            chunks.iter().for_each(|chunk| tail.push(chunk.as_bytes()));
            assert!(tail.bytes.len() <= 2 * limit);
            assert_eq!(tail.into_text(), kept);
        }
    }
}
