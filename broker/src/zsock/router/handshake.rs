//! The beginning of a connection: greeting, mechanism, who is there. The library's codec does it.
//!
//! It gets the greeting and one command at a time, so that nothing of what follows is in it at the end. It must not know
//! sockets.

use bytes::Bytes;
use omq_proto::{
    MechanismSetup, PeerPublicKey, SocketType,
    proto::{
        command::PeerProperties,
        connection::{Connection as Codec, ConnectionConfig, Event, Role},
    },
};

use super::{
    connection::Ended,
    framer::{Broken, frame_length},
    outbox::Outbox,
};

/// Length of a greeting (RFC 23 §2.2).
const GREETING: usize = 64;
/// A command of a handshake. The longest, CURVE's INITIATE, has the peer's name for itself in it, which is short.
const MAX_COMMAND: usize = 64 * 1024;

/// Who is at the other end, as the handshake told.
#[derive(Clone, Debug, Default)]
pub(super) struct Who {
    pub(super) identity: Option<Bytes>,
    /// Proven by CURVE.
    pub(super) key: Option<[u8; 32]>,
    /// Whether it knows pings.
    pub(super) pings: bool,
}

impl Who {
    fn new(minor: u8, told: &PeerProperties) -> Self {
        Self {
            identity: told.identity.clone().filter(|it| !it.is_empty()),
            key: match &told.authentication.public_key {
                Some(PeerPublicKey::Curve(key)) => Some(*key),
                _ => None,
            },
            pings: minor > 0,
        }
    }
}

/// What is the same for all connections of a socket.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// What the peer is told that it is connected to.
    pub(super) kind: SocketType,
    /// Largest message.
    pub(super) max: usize,
    pub(super) mechanism: MechanismSetup,
}

#[derive(Debug)]
pub(super) struct Handshake {
    codec: Box<Codec>,
    greeted: usize,
    held: Vec<u8>,
}

impl Handshake {
    /// Begins with our greeting.
    pub(super) fn new(setup: Setup, from: Option<String>, outbox: &mut Outbox) -> Self {
        let mut config = ConnectionConfig::new(Role::Server, setup.kind)
            .mechanism(setup.mechanism)
            .max_message_size(setup.max);
        config.peer_address = from;
        let mut codec = Box::new(Codec::new(config));
        transmit(&mut codec, outbox);
        Self {
            codec,
            greeted: 0,
            held: Vec::new(),
        }
    }

    /// Takes what came. Says who is there when it is done.
    pub(super) fn feed(
        &mut self,
        mut input: &[u8],
        outbox: &mut Outbox,
    ) -> Result<Option<Who>, Ended> {
        loop {
            let piece = if self.greeted < GREETING {
                let (now, later) = input.split_at(input.len().min(GREETING - self.greeted));
                self.greeted += now.len();
                input = later;
                Bytes::copy_from_slice(now)
            } else {
                self.held.extend_from_slice(input);
                input = &[];
                match frame_length(&self.held)? {
                    Some(length) if length > MAX_COMMAND => return Err(Broken::TooLarge.into()),
                    Some(length) if length <= self.held.len() => {
                        let after = self.held.split_off(length);
                        Bytes::from(std::mem::replace(&mut self.held, after))
                    }
                    _ => return Ok(None),
                }
            };
            if piece.is_empty() {
                return Ok(None);
            }
            let taken = self.codec.handle_input(piece);
            transmit(&mut self.codec, outbox);
            taken?;
            if let Some(Event::HandshakeSucceeded {
                peer_minor,
                peer_properties,
            }) = self.codec.poll_event()
            {
                return Ok(Some(Who::new(peer_minor, &peer_properties)));
            }
        }
    }

    /// What came after it, and the codec if what follows is encrypted.
    pub(super) fn done(self) -> (Vec<u8>, Option<Box<Codec>>) {
        let sealed = self.codec.has_frame_transform();
        (self.held, sealed.then_some(self.codec))
    }
}

/// What the codec has to send goes to the box.
pub(super) fn transmit(codec: &mut Codec, outbox: &mut Outbox) {
    let bytes = codec.poll_transmit();
    outbox.bytes(&bytes);
    codec.advance_transmit(bytes.len());
}
