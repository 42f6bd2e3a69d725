//! What a broker says of itself to others: who and where it is, and what it has to spare.
//!
//! One message, whole each time: who missed some is right again with the next.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::{
    core::{elsewhere::Spare, message::Frames},
    zsock::curve::PublicKey,
};

/// First frame of all news, and what is subscribed to.
pub(super) const TOPIC: &str = "ZWF1";
/// Names in one message, those with something to tell first: a broker that serves more is known by these.
pub(super) const MAX_NAMES: usize = 1000;

/// One broker's news.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct News {
    /// Chosen by chance at each start.
    pub(super) id: u64,
    /// Counts the news of this start.
    pub(super) seq: u64,
    /// The name it goes by.
    pub(super) name: String,
    /// Where it takes requests.
    pub(super) at: String,
    /// The key it has there, if it has keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<PublicKey>,
    /// What it has to spare, by service or prefix.
    pub(super) spare: BTreeMap<String, Spare>,
}

impl News {
    /// Where requests reach it, and who has to be there.
    pub(super) fn place(&self) -> Place {
        Place {
            address: self.at.clone(),
            key: self.key,
        }
    }

    /// As frames; without the names that would be too many.
    pub(super) fn write(mut self) -> Frames {
        if self.spare.len() > MAX_NAMES {
            let (some, none): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.spare)
                .into_iter()
                .partition(|(_, it)| it.free > 0 || it.queued > 0);
            self.spare = some.into_iter().chain(none).take(MAX_NAMES).collect();
        }
        let text = serde_json::to_vec(&self).unwrap_or_default();
        vec![Bytes::from_static(TOPIC.as_bytes()), Bytes::from(text)]
    }

    /// Out of frames, if they are news.
    pub(super) fn read(frames: &Frames) -> Option<Self> {
        let [topic, text] = frames.as_slice() else {
            return None;
        };
        let news: Self = serde_json::from_slice(text).ok()?;
        (topic.as_ref() == TOPIC.as_bytes() && news.spare.len() <= MAX_NAMES).then_some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zsock::curve::Keys;

    fn news(names: usize) -> News {
        let spare = |at: usize| Spare {
            free: u16::from(at + 1 == names),
            ..Spare::default()
        };
        News {
            id: u64::MAX,
            seq: 1,
            name: "mq".to_owned(),
            at: "tcp://h:1".to_owned(),
            key: None,
            spare: (0..names)
                .map(|at| (format!("{at:05}"), spare(at)))
                .collect(),
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        assert_eq!(News::read(&news(3).write()), Some(news(3)));
        let keyed = News {
            key: Some(Keys::generate().public()),
            ..news(1)
        };
        assert_eq!(News::read(&keyed.clone().write()), Some(keyed));
        let broken = br#"{"id":1,"seq":1,"name":"mq","at":"tcp://h:1","key":"x","spare":{}}"#;
        for frames in [
            vec![],
            vec![Bytes::from_static(b"ZWF1")],
            vec![Bytes::from_static(b"ZWF1"), Bytes::from_static(b"[]")],
            vec![Bytes::from_static(b"ZWF2"), news(1).write().remove(1)],
            vec![Bytes::from_static(b"ZWF1"), Bytes::from_static(broken)],
        ] {
            assert_eq!(News::read(&frames), None, "{frames:?}");
        }
    }

    #[test]
    fn of_too_many_names_those_with_room_are_told() {
        let read = News::read(&news(MAX_NAMES + 5).write()).expect("not too many");
        assert_eq!(read.spare.len(), MAX_NAMES);
        assert!(read.spare.values().any(|it| it.free == 1));
    }
}
