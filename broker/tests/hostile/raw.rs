//! A connection that speaks ZMTP by hand, or what is none.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::LIMIT;

/// A connection that says what it is told to.
pub(super) struct Raw(pub(super) TcpStream);

impl Raw {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.set_write_timeout(Some(LIMIT)).expect("a limit");
        Self(stream)
    }

    /// Through the handshake, as a socket of this type with this identity.
    pub(super) fn peer(address: SocketAddr, kind: &str, identity: &[u8]) -> Self {
        let mut raw = Self::connect(address);
        raw.handshake(kind, identity);
        raw.frame(); // the broker's READY
        raw
    }

    pub(super) fn handshake(&mut self, kind: &str, identity: &[u8]) {
        let mut greeting = [0; 64];
        greeting[0] = 0xff;
        greeting[9] = 0x7f;
        greeting[10] = 3;
        greeting[12..16].copy_from_slice(b"NULL");
        self.write(&greeting);
        self.read(64);
        let mut ready = b"\x05READY".to_vec();
        for (name, value) in [("Socket-Type", kind.as_bytes()), ("Identity", identity)] {
            ready.push(u8::try_from(name.len()).expect("short"));
            ready.extend(name.as_bytes());
            ready.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
            ready.extend(value);
        }
        self.write(&[4, u8::try_from(ready.len()).expect("short")]);
        self.write(&ready);
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the broker reads");
    }

    pub(super) fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).expect("the broker writes");
        bytes
    }

    pub(super) fn send(&mut self, frames: &[&[u8]]) {
        self.write(&message(frames));
    }

    /// Flags and body of one frame.
    pub(super) fn frame(&mut self) -> (u8, Vec<u8>) {
        let flags = self.read(1)[0];
        let length = if flags & 2 == 0 {
            usize::from(self.read(1)[0])
        } else {
            let bytes = self.read(8).try_into().expect("eight");
            usize::try_from(u64::from_be_bytes(bytes)).expect("it fits")
        };
        (flags, self.read(length))
    }

    /// The next message; commands such as PING are passed over.
    pub(super) fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        loop {
            let (flags, body) = self.frame();
            if flags & 4 != 0 {
                continue;
            }
            frames.push(body);
            if flags & 1 == 0 {
                return frames;
            }
        }
    }

    /// Waits until the broker has hung up.
    pub(super) fn assert_dropped(mut self) {
        let mut bytes = [0; 1024];
        loop {
            match self.0.read(&mut bytes) {
                Ok(0) => return,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("still connected: {error}"),
                Ok(_) => {}
            }
        }
    }
}

fn message(frames: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        let more = u8::from(at + 1 < frames.len());
        match u8::try_from(frame.len()) {
            Ok(short) => bytes.extend([more, short]),
            Err(_) => {
                bytes.push(more | 2);
                bytes.extend((frame.len() as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(frame);
    }
    bytes
}
