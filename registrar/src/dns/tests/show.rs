//! Questions as lines of text, and answers as text that two servers can agree on: sorted, without the time of day, and
//! only counted where chance decides which records there are.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

use super::super::text;
use super::Transport;

/// A line such as `web.service.consul SRV udp 1232`.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) line: String,
    name: String,
    kind: RecordType,
    pub(super) transport: Transport,
    payload: Option<u16>,
}

impl Question {
    pub(super) fn read(line: &str) -> Question {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, kind, rest @ ..] = &words[..] else {
            panic!("a name and a type: {line}");
        };
        let transport = match rest.first() {
            None | Some(&"udp") => Transport::Udp,
            Some(&"tcp") => Transport::Tcp,
            Some(other) => panic!("udp or tcp, not {other}"),
        };
        Question {
            line: line.to_owned(),
            name: (*name).to_owned(),
            kind: kind.parse().expect("a type of record"),
            transport,
            payload: rest.get(1).map(|number| number.parse().expect("a number")),
        }
    }

    pub(super) fn packet(&self) -> Vec<u8> {
        let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        let name = text::name(&self.name).expect("a name");
        let mut query = Query::query(name, self.kind);
        query.query_class = DNSClass::IN;
        message.add_query(query);
        if let Some(payload) = self.payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
        }
        message.to_vec().expect("a question can be written")
    }

    /// The answer as text.
    pub(super) fn show(&self, packet: &[u8]) -> String {
        let answer = Message::from_vec(packet).expect("an answer can be read");
        let head = answer.metadata;
        assert_eq!((head.id, head.message_type), (4711, MessageType::Response));
        assert!(head.recursion_desired, "{}", self.line);
        if !answer.queries.is_empty() {
            let asked = text::name(&self.name).expect("a name");
            assert!(answer.queries[0].name.eq_case(&asked), "{}", self.line);
        }
        let mut text = format!("{}", head.response_code.low());
        for (flag, word) in [
            (head.authoritative, " aa"),
            (head.truncation, " tc"),
            (head.recursion_available, " ra"),
            (answer.edns.is_some(), " edns"),
        ] {
            text.push_str(if flag { word } else { "" });
        }
        text.push('\n');
        let few = |records: &[Record]| records.len() < 3;
        let counted = !few(&answer.answers);
        for (section, records) in [
            ("answer", &answer.answers),
            ("authority", &answer.authorities),
            ("additional", &answer.additionals),
        ] {
            let mut lines: Vec<String> = records.iter().map(|r| self.line_of(r, counted)).collect();
            lines.sort();
            for same in lines.chunk_by(|a, b| a == b) {
                let times = if same.len() > 1 {
                    format!("{} × ", same.len())
                } else {
                    String::new()
                };
                text.push_str(&format!("  {section} {times}{}\n", same[0]));
            }
        }
        text
    }

    fn line_of(&self, record: &Record, counted: bool) -> String {
        if counted {
            return record.record_type().to_string();
        }
        assert_eq!(record.ttl, 0, "{}: {record}", self.line);
        let data = match &record.data {
            RData::SOA(soa) => format!(
                "{} {} {} {} {} {}",
                soa.mname, soa.rname, soa.refresh, soa.retry, soa.expire, soa.minimum
            ),
            // The registry's own port is whatever it was started with.
            RData::SRV(srv) if self.name.contains("consul.service") => {
                format!("{} {} (port) {}", srv.priority, srv.weight, srv.target)
            }
            RData::TXT(txt) => {
                let strings = txt.txt_data.iter();
                strings
                    .map(|string| format!("{:?}", text::of(string)))
                    .collect::<Vec<_>>()
                    .join(" ")
            }
            other => other.to_string(),
        };
        format!("{} {} {data}", record.name, record.record_type())
    }
}
