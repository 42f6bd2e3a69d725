//! What the framer takes and refuses, and that it understands what the library's codec does.

use bytes::BytesMut;
use omq_proto::{
    Message, SocketType,
    proto::connection::{Connection as Codec, ConnectionConfig, Role},
};
use proptest::prelude::*;

use super::{super::super::frames_of, *};

const MAX: usize = 200_000;

fn written(frames: &[Bytes]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for (at, frame) in frames.iter().enumerate() {
        put_header(&mut out, at + 1 < frames.len(), false, frame.len());
        out.extend_from_slice(frame);
    }
    out.to_vec()
}

/// Feeds pieces of these sizes, the last of them again and again; every other large rest goes where it stays.
fn fed(bytes: &[u8], sizes: &[usize], max: usize) -> Result<Vec<Item>, Broken> {
    let mut framer = Framer::new(max);
    let (mut items, mut rest, mut at) = (Vec::new(), bytes, 0);
    while !rest.is_empty() {
        let size = sizes[at.min(sizes.len() - 1)].clamp(1, rest.len());
        let (now, later) = rest.split_at(size);
        rest = later;
        at += 1;
        match framer.room().filter(|_| at.is_multiple_of(2)) {
            Some(room) => {
                room.extend_from_slice(now);
                framer.feed(&[], &mut |item| items.push(item))?;
            }
            None => framer.feed(now, &mut |item| items.push(item))?,
        }
    }
    Ok(items)
}

fn one(bytes: &[u8]) -> Result<Vec<Item>, Broken> {
    fed(bytes, &[usize::MAX], MAX)
}

#[test]
fn what_means_nothing_is_refused() {
    for (bytes, error) in [
        (&[0x08, 0][..], Broken::Flags),
        (&[0x80][..], Broken::Flags),
        (&[COMMAND | MORE, 0][..], Broken::Flags),
        (&[LONG, 0x40, 0, 0, 0, 0, 0, 0, 0][..], Broken::TooLarge),
        (
            &[LONG, 255, 255, 255, 255, 255, 255, 255, 255][..],
            Broken::TooLarge,
        ),
        (&[LONG, 0, 0, 0, 0, 0, 3, 13, 65][..], Broken::TooLarge), // one byte more than 200,000
        (
            &[LONG | COMMAND, 0, 0, 0, 0, 0, 2, 0, 0][..],
            Broken::TooLarge,
        ),
    ] {
        assert_eq!(one(bytes), Err(error), "{bytes:?}");
        assert_eq!(fed(bytes, &[1], MAX), Err(error), "{bytes:?}, byte by byte");
    }
}

#[test]
fn a_message_has_a_limit_over_all_frames() {
    let part = Bytes::from(vec![7; 60]);
    assert!(fed(&written(&vec![part.clone(); 2]), &[50], 120).is_ok());
    let more = written(&vec![part; 3]);
    assert_eq!(fed(&more, &[50], 120), Err(Broken::TooLarge));
    let most = written(&vec![Bytes::new(); MAX_FRAMES]);
    assert_eq!(one(&most).map(|it| it.len()), Ok(1));
    let more = written(&vec![Bytes::new(); MAX_FRAMES + 1]);
    assert_eq!(one(&more), Err(Broken::TooMany));
}

#[test]
fn what_is_announced_is_not_allocated() {
    let mut framer = Framer::new(1 << 40);
    let announced = [LONG, 0, 0, 0, 0x80, 0, 0, 0, 0, b'x'];
    framer
        .feed(&announced, &mut |_| panic!("nothing is complete"))
        .expect("allowed");
    let room = framer.room().expect("a large frame");
    assert!(room.capacity() <= 4 * GROWTH, "{}", room.capacity());
}

#[test]
fn a_command_may_come_between_frames() {
    let bytes = [MORE, 1, b'a', COMMAND, 2, 1, b'X', 0, 1, b'b'];
    let want = [
        Item::Command(Bytes::from_static(b"\x01X")),
        Item::Message(vec!["a".into(), "b".into()]),
    ];
    assert_eq!(one(&bytes).as_deref(), Ok(&want[..]));
}

fn frame() -> impl Strategy<Value = Bytes> {
    let size = prop_oneof![4 => 0..300_usize, 2 => 250..260_usize, 1 => 15_000..70_000_usize];
    (size, any::<u8>()).prop_map(|(size, fill)| Bytes::from(vec![fill; size]))
}

fn messages() -> impl Strategy<Value = Vec<Vec<Bytes>>> {
    let message = prop::collection::vec(frame(), 1..4);
    prop::collection::vec(message, 0..6)
}

/// The library's codec, its handshake done with another one of its kind.
fn codec() -> Codec {
    let new = |role, kind| Codec::new(ConnectionConfig::new(role, kind));
    let mut this = new(Role::Client, SocketType::Dealer);
    let mut other = new(Role::Server, SocketType::Router);
    while !(this.is_ready() && other.is_ready()) {
        pass(&mut this, &mut other);
        pass(&mut other, &mut this);
    }
    this
}

fn pass(from: &mut Codec, to: &mut Codec) {
    let bytes = from.poll_transmit();
    from.advance_transmit(bytes.len());
    to.handle_input(bytes).expect("they understand each other");
}

proptest! {
    /// Both ways.
    #[test]
    fn the_librarys_codec_understands_the_same(messages in messages()) {
        let mut codec = codec();
        for message in &messages {
            codec.handle_input(written(message).into()).expect("right");
            let heard = codec.poll_message().map(|it| frames_of(&it));
            prop_assert_eq!(heard.as_ref(), Some(message));
            codec.send_message(&Message::multipart(message.clone())).expect("ready");
            let said = codec.poll_transmit();
            codec.advance_transmit(said.len());
            prop_assert_eq!(one(&said), Ok(vec![Item::Message(message.clone())]));
        }
    }

    /// However they are cut.
    #[test]
    fn messages_come_out_as_they_went_in(
        messages in messages(),
        sizes in prop::collection::vec(prop_oneof![1..20_usize, 1..70_000_usize], 1..30),
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(|it| written(it)).collect();
        let want: Vec<Item> = messages.into_iter().map(Item::Message).collect();
        prop_assert_eq!(fed(&bytes, &sizes, 1 << 20), Ok(want));
    }

    /// Nothing panics, and cuts change nothing.
    #[test]
    fn any_bytes_mean_the_same_in_one_piece_and_in_many(
        bytes in prop::collection::vec(prop_oneof![3 => 0..10_u8, 1 => any::<u8>()], 0..400),
        sizes in prop::collection::vec(1..40_usize, 1..30),
    ) {
        prop_assert_eq!(one(&bytes), fed(&bytes, &sizes, MAX));
    }
}
