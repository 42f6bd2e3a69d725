//! How much of an answer is sent.
//!
//! Pure, on a message that is complete. A resolver that says nothing of its own gets 512 bytes and at most three answers
//! over UDP; records that only helped those that were left out go with them. Consul does not mark such an answer as
//! truncated unless told to, so that clients take the few instead of asking again; nor is it marked here.
//!
//! Two small differences: what EDNS itself takes is counted, so that no client gets more than it asked for, and the library
//! stops compressing names after a few dozen, so that of a long answer some records fewer may fit.

use std::collections::HashMap;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::BinEncodable as _;

use super::Transport;

/// What a datagram may have unless the client says more (RFC 1035).
const PLAIN: usize = 512;
/// The most a datagram can have.
const DATAGRAM: usize = 65_507;
/// What a message on a stream may have: its length has two bytes; the header is counted apart.
const STREAM: usize = 65_535 - 12;
/// Most answers over UDP to a client that says nothing: Consul's `udp_answer_limit`.
const ANSWERS: usize = 3;

/// A surplus of so many bytes is worth one answer.
const LITTLE: usize = 100;

/// Leaves out what does not fit.
pub(super) fn trim(message: &mut Message, transport: Transport) {
    let offered = message
        .edns
        .as_ref()
        .map_or(0, |edns| usize::from(edns.max_payload()));
    let limit = match transport {
        Transport::Tcp => STREAM,
        Transport::Udp => offered.clamp(PLAIN, DATAGRAM),
    };
    let mut compressed = true;
    if limit == PLAIN && message.answers.len() > ANSWERS {
        message.answers.truncate(ANSWERS);
        message.additionals = helpers(&message.answers, &message.additionals);
        // Consul counts these without compression.
        compressed = false;
    }
    fit(message, limit, compressed);
}

/// Cuts the message until it fits, as Consul does: one answer if little is too much, else as many as it takes, and with
/// them the additional records that help none of the others.
fn fit(message: &mut Message, limit: usize, compressed: bool) {
    loop {
        let surplus = size(message, compressed).saturating_sub(limit);
        let of_services = message
            .answers
            .iter()
            .any(|record| matches!(record.data, RData::SRV(_)));
        if surplus == 0 || message.answers.is_empty() {
            return;
        }
        if !of_services && !message.additionals.is_empty() {
            message.additionals.clear();
        } else if surplus <= LITTLE {
            message.answers.pop();
            message.additionals = helpers(&message.answers, &message.additionals);
        } else {
            return cut(message, limit, compressed);
        }
    }
}

/// Keeps as many answers as fit with their helpers. Fewer are never longer, so their number is found by halving.
fn cut(message: &mut Message, limit: usize, compressed: bool) {
    let answers = std::mem::take(&mut message.answers);
    let additionals = std::mem::take(&mut message.additionals);
    let mut try_with = |count: usize| {
        message.answers = answers[..count].to_vec();
        message.additionals = helpers(&message.answers, &additionals);
        size(message, compressed) <= limit
    };
    let (mut fits, mut too_many) = (0, answers.len() + 1);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        if try_with(middle) {
            fits = middle;
        } else {
            too_many = middle;
        }
    }
    try_with(fits);
}

/// Of additional records those that an SRV answer points to, directly or through an alias: one for each name, as Consul
/// keeps them.
fn helpers(answers: &[Record], additionals: &[Record]) -> Vec<Record> {
    let mut first: HashMap<&Name, &Record> = HashMap::new();
    for record in additionals {
        first.entry(&record.name).or_insert(record);
    }
    let mut kept = Vec::new();
    for answer in answers {
        let mut wanted = match &answer.data {
            RData::SRV(srv) => Some(&srv.target),
            _ => None,
        };
        // Removed when kept, so that each is kept once and a circle ends.
        while let Some(record) = wanted.and_then(|name| first.remove(name)) {
            kept.push(record.clone());
            wanted = match &record.data {
                RData::CNAME(alias) => Some(&alias.0),
                _ => None,
            };
        }
    }
    kept
}

/// Bytes on the wire. A message that cannot be written counts as too long.
fn size(message: &Message, compressed: bool) -> usize {
    if compressed {
        return message.to_bytes().map_or(usize::MAX, |bytes| bytes.len());
    }
    const HEADER: usize = 12;
    const OPT: usize = 11;
    let question: usize = message
        .queries
        .iter()
        .map(|query| wire(&query.name) + 4)
        .sum();
    let records: usize = message.all_sections().map(record_size).sum();
    let edns = message.edns.as_ref().map_or(0, |_| OPT);
    HEADER + question + records + edns
}

/// Bytes of a record without compression.
fn record_size(record: &Record) -> usize {
    const FIXED: usize = 10;
    let data = match &record.data {
        RData::A(_) => 4,
        RData::AAAA(_) => 16,
        RData::SRV(srv) => 6 + wire(&srv.target),
        RData::CNAME(alias) => wire(&alias.0),
        RData::TXT(txt) => txt.txt_data.iter().map(|string| string.len() + 1).sum(),
        other => other.to_bytes().map_or(0, |bytes| bytes.len()),
    };
    wire(&record.name) + FIXED + data
}

/// Bytes of a name without compression. Its own length counts a dot for each label; the root has a byte more.
fn wire(name: &Name) -> usize {
    name.len() + usize::from(!name.is_root())
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Edns, Query};
    use hickory_proto::rr::RecordType;
    use hickory_proto::rr::rdata::{A, SRV, TXT};

    use super::super::text::name;
    use super::*;

    fn record(owner: &str, data: RData) -> Record {
        Record::from_rdata(name(owner).expect("a name"), 0, data)
    }

    /// `count` SRV answers, each with an address and a text that helps nobody.
    fn message(count: usize, payload: Option<u16>) -> Message {
        let mut message = Message::query();
        let owner = name("lots.service.consul").expect("a name");
        message.add_query(Query::query(owner, RecordType::SRV));
        for n in 0..count {
            let target = format!("0a02{n:04x}.addr.dc1.consul");
            let srv = SRV::new(1, 1, 80, name(&target).expect("a name"));
            message.add_answer(record("lots.service.consul", RData::SRV(srv)));
            message.add_additional(record(&target, RData::A(A::new(10, 2, 0, 1))));
            let text = RData::TXT(TXT::new(vec!["consul-network-segment=".into()]));
            message.add_additional(record("n1.node.dc1.consul", text));
        }
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
        }
        message
    }

    #[test]
    fn what_is_sent_of_many_is_what_consul_sends() {
        use Transport::{Tcp, Udp};
        // (instances, what the client offers, how it asks) -> (answers, additional records), measured.
        let table = [
            (10, None, Udp, (3, 3)),
            (10, Some(512), Udp, (3, 3)),
            (10, Some(100), Udp, (3, 3)),
            (10, Some(1232), Udp, (10, 20)),
            (10, None, Tcp, (10, 20)),
            (40, Some(1232), Udp, (19, 19)),
            (40, Some(1100), Udp, (17, 17)),
            (40, Some(8192), Udp, (40, 80)),
            (40, None, Tcp, (40, 80)),
        ];
        for (count, payload, transport, expected) in table {
            let mut message = message(count, payload);
            trim(&mut message, transport);
            let kept = (message.answers.len(), message.additionals.len());
            assert_eq!(kept, expected, "{count} {payload:?} {transport:?}");
        }
    }

    #[test]
    fn whatever_there_is_the_message_fits() {
        for count in [0, 1, 3, 50, 2000] {
            for payload in [None, Some(600), Some(1232), Some(u16::MAX)] {
                for transport in [Transport::Udp, Transport::Tcp] {
                    let mut message = message(count, payload);
                    trim(&mut message, transport);
                    let limit = match transport {
                        Transport::Udp => usize::from(payload.unwrap_or(512)),
                        Transport::Tcp => STREAM,
                    };
                    let size = size(&message, true);
                    assert!(size <= limit, "{count} {payload:?} {transport:?} {size}");
                    assert_eq!(count == 0, message.answers.is_empty());
                }
            }
        }
    }

    #[test]
    fn the_length_without_compression_is_that_of_the_wire() {
        // Nothing in this message can be compressed.
        let mut message = Message::query();
        message.add_query(Query::query(name("a.b").expect("a name"), RecordType::A));
        message.add_answer(record("c.d", RData::A(A::new(1, 2, 3, 4))));
        message.add_answer(record("e.f", RData::TXT(TXT::new(vec!["xyz".into()]))));
        assert_eq!(size(&message, false), size(&message, true));
    }

    #[test]
    fn what_helps_nobody_goes_before_an_address() {
        let mut message = Message::query();
        message.add_answer(record("n.node.consul", RData::A(A::new(1, 2, 3, 4))));
        let text = RData::TXT(TXT::new(vec!["x".repeat(250); 3]));
        message.add_additional(record("n.node.consul", text));
        trim(&mut message, Transport::Udp);
        assert_eq!((message.answers.len(), message.additionals.len()), (1, 0));
    }
}
