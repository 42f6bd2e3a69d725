//! From a packet to a packet: what is asked, what of it is in the catalog, and how it is put.
//!
//! Pure but for the moment it is given: the time of day, which is the zone's serial number, and the order in which
//! instances are shuffled. Which records something has is decided in `build`, how much is sent in `trim`.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::PTR;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable as _;

use super::build::{self, Place, TTL};
use super::name::{self, Asked, What, Zone};
use super::view::View;
use super::{Transport, text, trim};
use crate::catalog::{Health, Key};

/// Bytes of a message's header.
const HEADER: usize = 12;
/// How many aliases in a row are followed, as in Consul.
const ALIASES: usize = 3;

/// What an answer depends on besides the question and the catalog.
#[derive(Debug)]
pub struct Moment {
    /// Seconds since 1970.
    pub time: u32,
    /// Shuffles the instances.
    pub random: fastrand::Rng,
}

impl Moment {
    /// Now.
    pub fn now() -> Moment {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Moment {
            // Serial numbers go round, and so may this.
            time: since.as_secs() as u32,
            random: fastrand::Rng::new(),
        }
    }
}

/// Answers one packet. `None` for what no answer is due to: less than a header, or an answer.
pub fn respond(
    packet: &[u8],
    view: &impl View,
    transport: Transport,
    moment: &mut Moment,
) -> Option<Vec<u8>> {
    let head: [u8; HEADER] = *packet.first_chunk()?;
    if head[2] & 0x80 != 0 {
        return None;
    }
    let refuse = |code: ResponseCode| Some(bare(head, code).into());
    let count = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    if head[2] >> 3 & 0xf != u8::from(OpCode::Query) {
        return refuse(ResponseCode::NotImp);
    }
    // One question, and nothing beside it but what extends the protocol (OPT, a signature).
    if count(4) != 1 || count(6) > 1 || count(8) > 1 || count(10) > 2 {
        return refuse(ResponseCode::FormErr);
    }
    let Ok(question) = Message::from_vec(packet) else {
        return refuse(ResponseCode::FormErr);
    };
    let mut answer = Answer::new(&question, view, moment);
    answer.fill();
    let mut message = answer.message;
    trim::trim(&mut message, transport);
    match message.to_bytes() {
        Ok(bytes) => Some(bytes),
        Err(_) => refuse(ResponseCode::ServFail),
    }
}

/// The header alone: the question's, made an answer.
fn bare(mut head: [u8; HEADER], code: ResponseCode) -> [u8; HEADER] {
    // QR and AA TC RA: an answer without any claim; opcode and RD stay.
    head[2] = head[2] & 0x79 | 0x80;
    head[3] = code.low();
    head[4..].fill(0);
    head
}

/// An answer that is being made.
pub(super) struct Answer<'a, V> {
    view: &'a V,
    pub(super) moment: &'a mut Moment,
    pub(super) datacenter: Key,
    name: Name,
    kind: RecordType,
    pub(super) message: Message,
}

impl<'a, V: View> Answer<'a, V> {
    fn new(question: &Message, view: &'a V, moment: &'a mut Moment) -> Self {
        let mut message = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        message.metadata.recursion_desired = question.metadata.recursion_desired;
        message.metadata.authoritative = true;
        message.queries.clone_from(&question.queries);
        if let Some(asked) = &question.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload());
            edns.set_dnssec_ok(asked.flags().dnssec_ok);
            message.set_edns(edns);
        }
        // `respond` has counted the questions.
        let (name, kind) = match question.queries.first() {
            Some(query) => (query.name.clone(), query.query_type),
            None => (Name::root(), RecordType::ZERO),
        };
        Answer {
            datacenter: view.datacenter(),
            view,
            moment,
            name,
            kind,
            message,
        }
    }

    fn fill(&mut self) {
        match name::read(&self.name, self.kind) {
            Zone::Other => {
                self.message.metadata.response_code = ResponseCode::Refused;
                self.message.metadata.authoritative = false;
                self.message.edns = None;
            }
            Zone::Reverse(address) => self.reverse(address),
            Zone::Consul(asked) => match self.kind {
                RecordType::SOA => self.start_of_zone(),
                RecordType::NS => self.name_servers(),
                RecordType::AXFR => self.message.metadata.response_code = ResponseCode::NotImp,
                _ => self.look_up(asked),
            },
        }
    }

    fn look_up(&mut self, asked: Option<Asked>) {
        let Some(asked) = asked else {
            return self.no_such_name();
        };
        // The address is in the name, so every datacenter knows it.
        if let What::Address(address) = asked.what {
            let record = address.map(|address| build::at(&self.name.to_lowercase(), address));
            self.message.answers.extend(record);
            return;
        }
        if !self.is_here(asked.datacenter.as_deref()) {
            return self.no_such_name();
        }
        match asked.what {
            What::Node(name) => self.node(&name),
            What::Service { name, tag } => {
                let found = self.healthy(&name, tag.as_deref());
                self.service(found);
            }
            What::Prepared(name) => match self.view.prepared(&name) {
                Some((found, ttl)) => {
                    self.service(found);
                    self.keep_for(ttl);
                }
                None => self.no_such_name(),
            },
            What::Address(_) => {}
        }
    }

    fn is_here(&self, datacenter: Option<&str>) -> bool {
        datacenter.is_none_or(|asked| asked == self.datacenter.to_lowercase())
    }

    /// The instances of a service that are served, shuffled.
    pub(super) fn healthy(&mut self, name: &str, tag: Option<&str>) -> Vec<Health> {
        let mut found = self.view.service(name);
        found.retain(build::is_served);
        found.retain(|health| tag.is_none_or(|tag| build::has_tag(health, tag)));
        self.moment.random.shuffle(&mut found);
        found
    }

    fn service(&mut self, found: Vec<Health>) {
        if found.is_empty() {
            return self.no_such_name();
        }
        if self.kind == RecordType::SRV {
            self.services(&found);
        } else {
            self.message.answers = self.places(&self.name.clone(), self.kind, &found, ALIASES);
        }
        if self.message.answers.is_empty() {
            let record = self.start();
            self.message.add_authority(record);
        }
    }

    /// SRV records, and for each where its target is and what is known of its node.
    fn services(&mut self, found: &[Health]) {
        let mut seen = std::collections::HashSet::new();
        for health in found {
            let instance = &health.instance;
            if !seen.insert((&health.node.name, &instance.address, instance.port)) {
                continue;
            }
            let Some(service) = build::service(&self.name, health, &self.datacenter) else {
                continue;
            };
            self.message.add_answer(service.record);
            let target = match service.place {
                Place::Ip(ip) => vec![build::at(&service.target, ip)],
                Place::Host(host) => self.follow(&host, ALIASES),
            };
            self.message.add_additionals(target);
            if let Some(owner) = build::node_name(&health.node.name, &self.datacenter) {
                let records = build::metadata(&owner, &health.node);
                self.message.add_additionals(records);
            }
        }
    }

    /// Where instances are, each place once; an alias only if there is nothing else.
    fn places(
        &mut self,
        owner: &Name,
        kind: RecordType,
        found: &[Health],
        aliases: usize,
    ) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut host = None;
        for health in found {
            match build::place(owner, health, kind) {
                Some(Place::Host(name)) => host = host.or(Some(name)),
                Some(Place::Ip(ip)) if seen.insert(ip) => {
                    records.extend(Place::Ip(ip).record(owner, kind));
                }
                _ => {}
            }
        }
        match host {
            Some(host) if records.is_empty() => self.alias(owner, kind, host, aliases),
            _ => records,
        }
    }

    /// An alias with what it leads to, if that is ours.
    fn alias(&mut self, owner: &Name, kind: RecordType, host: Name, aliases: usize) -> Vec<Record> {
        let mut records = Vec::from_iter(Place::Host(host.clone()).record(owner, kind));
        records.extend(self.follow(&host, aliases));
        records
    }

    /// The addresses of a host name that is in our zone.
    fn follow(&mut self, host: &Name, aliases: usize) -> Vec<Record> {
        let Some(left) = aliases.checked_sub(1) else {
            return Vec::new();
        };
        let Zone::Consul(Some(asked)) = name::read(host, RecordType::ANY) else {
            return Vec::new();
        };
        if let What::Address(address) = asked.what {
            return address.map(|ip| build::at(host, ip)).into_iter().collect();
        }
        if !self.is_here(asked.datacenter.as_deref()) {
            return Vec::new();
        }
        let found = match asked.what {
            What::Service { name, tag } => self.healthy(&name, tag.as_deref()),
            What::Prepared(name) => match self.view.prepared(&name) {
                Some((found, _)) => found,
                None => Vec::new(),
            },
            What::Node(name) => {
                let place = self.view.node(&name);
                let place = place.and_then(|node| build::node_place(&node, RecordType::ANY));
                return match place {
                    Some(Place::Host(next)) => self.alias(host, RecordType::ANY, next, left),
                    Some(Place::Ip(ip)) => vec![build::at(host, ip)],
                    None => Vec::new(),
                };
            }
            What::Address(_) => Vec::new(),
        };
        self.places(host, RecordType::ANY, &found, left)
    }

    fn node(&mut self, name: &str) {
        let kind = self.kind;
        let texts_answer = matches!(kind, RecordType::TXT | RecordType::ANY);
        if !texts_answer && !matches!(kind, RecordType::A | RecordType::AAAA) {
            return;
        }
        let Some(node) = self.view.node(name) else {
            return self.no_such_name();
        };
        let owner = self.name.clone();
        if kind != RecordType::TXT {
            self.message.answers = match build::node_place(&node, kind) {
                Some(Place::Host(host)) => self.alias(&owner, kind, host, ALIASES),
                Some(place) => place.record(&owner, kind).into_iter().collect(),
                None => Vec::new(),
            };
        }
        let texts = build::metadata(&owner, &node);
        if texts_answer {
            self.message.add_answers(texts);
        } else {
            self.message.add_additionals(texts);
        }
    }

    /// The name of a node or service with this address. Anything else would be somebody else's to answer.
    fn reverse(&mut self, address: Option<IpAddr>) {
        let found = address.and_then(|address| {
            let datacenter = &self.datacenter;
            let node = self.view.node_at(address);
            let node = node.and_then(|node| build::node_name(&node, datacenter));
            node.or_else(|| {
                let service = self.view.service_at(address)?;
                text::name(&format!("{service}.service.{datacenter}.consul"))
            })
        });
        let Some(found) = found else {
            let metadata = &mut self.message.metadata;
            metadata.response_code = ResponseCode::ServFail;
            metadata.authoritative = false;
            metadata.recursion_available = true;
            return;
        };
        let data = RData::PTR(PTR(found));
        let record = Record::from_rdata(self.name.clone(), TTL, data);
        self.message.add_answer(record);
        if self.kind == RecordType::SOA {
            let record = self.start();
            self.message.add_authority(record);
        }
    }

    fn no_such_name(&mut self) {
        self.message.metadata.response_code = ResponseCode::NXDomain;
        let record = self.start();
        self.message.add_authority(record);
    }

    /// Lets the answer be kept for some seconds.
    fn keep_for(&mut self, ttl: u32) {
        let Message {
            answers,
            additionals,
            ..
        } = &mut self.message;
        for record in answers.iter_mut().chain(additionals) {
            record.ttl = ttl;
        }
    }
}
