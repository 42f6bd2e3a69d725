//! Bytes that come, stay for a while and go in the same order, kept in few large pieces.
//!
//! Thousands of small allocations, each touched again only to be freed long after, cost more than copying what they hold: here
//! it is written one behind the other, and the memory of the oldest serves the newest. It must not know what the bytes mean.

use std::collections::VecDeque;

/// Bytes of a page; what is larger than [`MAX`] does not belong here.
const PAGE: usize = 256 * 1024;
/// Bytes of one piece: what a page may leave unused at its end.
pub(super) const MAX: usize = 16 * 1024;

/// Where a piece is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// The page, counted from the first there ever was.
    page: u64,
    start: u32,
    length: u32,
}

#[derive(Debug, Default)]
struct Page {
    bytes: Vec<u8>,
    pieces: usize,
}

/// The pages, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pages: VecDeque<Page>,
    /// Number of the first page.
    first: u64,
    /// Memory of a page that is no longer used.
    spare: Vec<u8>,
}

impl Pages {
    /// Puts a piece of so many bytes, at most [`MAX`], behind all others; `write` appends them.
    pub(super) fn push(&mut self, length: usize, write: impl FnOnce(&mut Vec<u8>)) -> Piece {
        let last = self.pages.back();
        if last.is_none_or(|it| it.bytes.len() + length > PAGE) {
            self.add_page();
        }
        let at = self.pages.len() - 1;
        let last = &mut self.pages[at];
        let start = last.bytes.len();
        write(&mut last.bytes);
        debug_assert_eq!(last.bytes.len() - start, length, "what was announced");
        last.pieces += 1;
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX); // far from it
        Piece {
            page: self.first + at as u64,
            start: small(start),
            length: small(last.bytes.len() - start),
        }
    }

    fn add_page(&mut self) {
        let mut bytes = std::mem::take(&mut self.spare);
        // The only page of a broker with little to keep grows with it.
        if bytes.capacity() == 0 && !self.pages.is_empty() {
            bytes.reserve_exact(PAGE);
        }
        self.pages.push_back(Page { bytes, pieces: 0 });
    }

    /// The bytes of a piece that has not been dropped.
    pub(super) fn get(&self, piece: Piece) -> &[u8] {
        let at = usize::try_from(piece.page.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        let page = self.pages.get(at).map(|it| it.bytes.as_slice());
        let (start, length) = (piece.start as usize, piece.length as usize);
        page.and_then(|it| it.get(start..start + length))
            .unwrap_or_default()
    }

    /// Drops the oldest piece.
    pub(super) fn pop(&mut self) {
        let Some(first) = self.pages.front_mut() else {
            return;
        };
        first.pieces -= 1;
        if first.pieces > 0 {
            return;
        }
        if let Some(mut page) = self.pages.pop_front() {
            self.first += 1;
            page.bytes.clear();
            self.spare = page.bytes;
        }
        if self.pages.is_empty() {
            self.spare = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Held against a queue of vectors.
        #[test]
        fn what_was_put_is_found_until_it_is_dropped(
            steps in proptest::collection::vec((any::<bool>(), 0..=MAX), 1..200)
        ) {
            let (mut pages, mut model) = (Pages::default(), VecDeque::new());
            for (at, (push, length)) in steps.into_iter().enumerate() {
                if push || model.is_empty() {
                    let fill = u8::try_from(at).expect("200 steps");
                    let bytes = vec![fill; length];
                    let piece = pages.push(length, |out| out.extend_from_slice(&bytes));
                    model.push_back((piece, bytes));
                } else {
                    pages.pop();
                    model.pop_front();
                }
                for (piece, bytes) in &model {
                    prop_assert_eq!(pages.get(*piece), bytes.as_slice());
                }
                let most = model.iter().map(|(_, it)| it.len()).sum::<usize>() / (PAGE - MAX) + 2;
                prop_assert!(pages.pages.len() <= most, "{} pages", pages.pages.len());
            }
        }
    }

    #[test]
    fn the_memory_of_the_oldest_serves_the_newest_and_nothing_is_left_at_the_end() {
        let mut pages = Pages::default();
        let piece = vec![1; MAX];
        let mut count = 0;
        while pages.pages.len() < 3 {
            pages.push(MAX, |out| out.extend_from_slice(&piece));
            count += 1;
        }
        let first = pages.pages[0].bytes.as_ptr();
        for _ in 0..PAGE / MAX {
            pages.pop();
        }
        while pages.pages.len() < 3 {
            pages.push(MAX, |out| out.extend_from_slice(&piece));
            count += 1;
        }
        assert_eq!(pages.pages[2].bytes.as_ptr(), first);
        for _ in 0..count - PAGE / MAX {
            pages.pop();
        }
        assert_eq!((pages.pages.len(), pages.spare.capacity()), (0, 0));
        pages.pop(); // of nothing
    }
}
