//! The logger's file: appended to, opened anew, moved away when it is large.
//!
//! What could not be written is counted, and the count is written as a line of its own as soon as something can be.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::Error;

/// Files moved away that are kept beside the one written: `NAME.1` is the newest.
const KEPT: u32 = 5;

/// A file that lines are appended to.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    /// Beyond this many bytes it is moved away.
    rotate_at: Option<u64>,
    /// Whether the line about lost ones is JSON, like the others.
    json: bool,
    buffer: Vec<u8>,
    lines: u64,
    unreported: u64,
    lost: u64,
}

impl LogFile {
    /// Opens the file for appending; makes it if there is none.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path, rotate_at: Option<u64>, json: bool) -> Result<Self, Error> {
        let (file, size) = append_to(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            rotate_at,
            json,
            buffer: Vec::new(),
            lines: 0,
            unreported: 0,
            lost: 0,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Adds a line to those that wait.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        self.lines += 1;
    }

    /// Bytes that wait to be written.
    pub(super) fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Writes what waits. If that fails the lines are lost: the file may be full for long, and memory is no place for them.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        let lines = std::mem::take(&mut self.lines);
        if self.unreported > 0 {
            let mut report = self.report().into_bytes();
            report.append(&mut bytes);
            bytes = report;
        }
        if let Err(source) = self.file.write_all(&bytes) {
            self.unreported += lines;
            self.lost += lines;
            let path = self.path.clone();
            return Err(Error::File { path, source });
        }
        self.unreported = 0;
        self.size += bytes.len() as u64;
        bytes.clear();
        self.buffer = bytes;
        match self.rotate_at {
            Some(limit) if self.size >= limit => self.rotate(),
            _ => Ok(()),
        }
    }

    fn report(&self) -> String {
        let lost = self.unreported;
        if self.json {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            format!(
                "{{\"ts\":{},\"event\":\"logger-lost\",\"dropped\":{lost}}}\n",
                now.as_millis()
            )
        } else {
            format!("logger: {lost} lines lost here\n")
        }
    }

    /// Opens the file anew: somebody has moved the old one away.
    pub(super) fn reopen(&mut self) -> Result<(), Error> {
        (self.file, self.size) = append_to(&self.path)?;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), Error> {
        let failed = |source| Error::File {
            path: self.path.clone(),
            source,
        };
        for number in (1..KEPT).rev() {
            match fs::rename(self.moved(number), self.moved(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        fs::rename(&self.path, self.moved(1)).map_err(failed)?;
        self.reopen()
    }

    fn moved(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append_to(path: &Path) -> Result<(File, u64), Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn it_appends_rotates_and_reopens() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        fs::write(&path, "old\n").expect("written");
        let mut file = LogFile::open(&path, Some(10), false).expect("opened");
        file.add(b"one");
        file.write().expect("written");
        assert_eq!(text(&path), "old\none\n");
        file.add(b"two");
        file.write().expect("written");
        assert_eq!(
            (text(&path), text(&folder.path().join("log.1"))),
            (String::new(), "old\none\ntwo\n".to_owned())
        );
        for _ in 0..KEPT + 2 {
            file.add(b"0123456789");
            file.write().expect("written");
        }
        assert_eq!(
            fs::read_dir(folder.path()).expect("there").count(),
            KEPT as usize + 1
        );

        fs::rename(&path, folder.path().join("moved")).expect("moved");
        file.add(b"x");
        file.write().expect("written");
        assert!(!path.exists(), "still the old one");
        file.reopen().expect("opened");
        file.add(b"y");
        file.write().expect("written");
        assert_eq!(text(&path), "y\n");
    }

    #[test]
    fn lost_lines_are_counted_and_said_to_be_lost() {
        let mut file =
            LogFile::open(Path::new("/dev/full"), None, true).expect("every Linux has it");
        for line in ["1", "2"] {
            file.add(line.as_bytes());
        }
        assert!(file.write().is_err());
        assert_eq!((file.lost(), file.pending()), (2, 0));
        let folder = tempfile::tempdir().expect("a folder");
        file.path = folder.path().join("log");
        file.reopen().expect("opened");
        file.add(b"{}");
        file.write().expect("written");
        let text = text(&file.path);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|it| serde_json::from_str(it).expect("JSON"))
            .collect();
        assert_eq!((lines.len(), lines[0]["dropped"].as_u64()), (2, Some(2)));
    }
}
