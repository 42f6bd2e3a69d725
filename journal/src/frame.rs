//! Bytes of the two kinds of file: a head with a magic, a version and a generation, then frames. A frame is its length,
//! a checksum of that length and a checksum of its contents; both checksums include where the frame is, so that one
//! that strayed is noticed. Pure: slices in, slices out. It does not know what the contents are.

/// What a file of changes begins with.
pub const LOG_MAGIC: [u8; 8] = *b"turnolog";
/// What a file with a whole state begins with.
pub const STATE_MAGIC: [u8; 8] = *b"turnosta";
/// The version of the format; a file of another one is refused.
const VERSION: u32 = 1;
/// Length of a file's head: magic, version, generation, checksum.
pub const FILE_HEAD: usize = 24;
/// Length of a frame's head: length, checksum of the length, checksum of the contents.
pub const FRAME_HEAD: usize = 12;

/// What is at a place in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A whole frame; the next one begins where it ends.
    Frame(&'a [u8]),
    /// The file ends here.
    End,
    /// A frame was begun and its end never written.
    Torn,
    /// What is here was not written like this.
    Damaged(&'static str),
}

/// The head of a file.
pub fn file_head(magic: [u8; 8], generation: u64) -> [u8; FILE_HEAD] {
    let mut head = [0; FILE_HEAD];
    head[..8].copy_from_slice(&magic);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..20].copy_from_slice(&generation.to_le_bytes());
    let sum = crc32fast::hash(&head[..20]);
    head[20..].copy_from_slice(&sum.to_le_bytes());
    head
}

/// Whether a file begins with the head it should have; if not, why not.
pub fn check_file_head(file: &[u8], magic: [u8; 8], generation: u64) -> Result<(), &'static str> {
    let head = file.get(..FILE_HEAD).ok_or("its head is cut off")?;
    if head == file_head(magic, generation) {
        return Ok(());
    }
    let sum = u32::from_le_bytes(four(head, 20));
    if head[..8] == magic
        && sum == crc32fast::hash(&head[..20])
        && four(head, 8) != VERSION.to_le_bytes()
    {
        return Err("it was written by another version of turno");
    }
    Err("its head is not the one this file should have")
}

/// Appends a frame that will be at `offset` of its file.
///
/// Contents of 4 GiB and more do not fit; `false` then, and nothing is appended.
#[must_use]
pub fn push(out: &mut Vec<u8>, generation: u64, offset: u64, contents: &[&[u8]]) -> bool {
    let length: usize = contents.iter().map(|part| part.len()).sum();
    let Ok(length) = u32::try_from(length) else {
        return false;
    };
    let length = length.to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&sum(generation, offset, &[&length]).to_le_bytes());
    out.extend_from_slice(&sum(generation, offset, contents).to_le_bytes());
    for part in contents {
        out.extend_from_slice(part);
    }
    true
}

/// Looks at the frame that begins at `offset`.
pub fn read(file: &[u8], generation: u64, offset: usize) -> Found<'_> {
    let rest = file.get(offset..).unwrap_or_default();
    if rest.is_empty() {
        return Found::End;
    }
    if rest.len() < FRAME_HEAD || rest.iter().all(|byte| *byte == 0) {
        // Zeros: the file had grown before its contents were written.
        return Found::Torn;
    }
    let place = offset as u64;
    let length = four(rest, 0);
    if u32::from_le_bytes(four(rest, 4)) != sum(generation, place, &[&length]) {
        return Found::Damaged("a length does not have its checksum");
    }
    let end = (u32::from_le_bytes(length) as usize).saturating_add(FRAME_HEAD);
    let Some(contents) = rest.get(FRAME_HEAD..end) else {
        return Found::Torn;
    };
    if u32::from_le_bytes(four(rest, 8)) != sum(generation, place, &[contents]) {
        return Found::Damaged("contents do not have their checksum");
    }
    Found::Frame(contents)
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    four
}

fn sum(generation: u64, offset: u64, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&generation.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}
