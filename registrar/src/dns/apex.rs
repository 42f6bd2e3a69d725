//! What every zone has at its top: where it starts (SOA) and who serves it (NS).
//!
//! The servers are the nodes that carry the service `consul`, which is the registry itself.

use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::build::{self, Place, TTL};
use super::reply::Answer;
use super::view::View;

/// Most name servers that are named.
const NAME_SERVERS: usize = 3;
/// The times of the zone's SOA record, in seconds, as Consul has them: refresh, retry, expire, and how long an absence
/// may be kept.
const SOA_TIMES: (i32, i32, i32, u32) = (3600, 600, 86_400, 0);

impl<V: View> Answer<'_, V> {
    pub(super) fn start_of_zone(&mut self) {
        let record = self.start();
        self.message.add_answer(record);
        let (servers, addresses) = self.servers();
        self.message.add_authorities(servers);
        self.message.add_additionals(addresses);
    }

    pub(super) fn name_servers(&mut self) {
        let (servers, addresses) = self.servers();
        self.message.add_answers(servers);
        self.message.add_additionals(addresses);
    }

    /// The SOA record of the zone.
    pub(super) fn start(&self) -> Record {
        let (refresh, retry, expire, minimum) = SOA_TIMES;
        let data = SOA::new(
            zone(&["ns"]),
            zone(&["hostmaster"]),
            self.moment.time,
            refresh,
            retry,
            expire,
            minimum,
        );
        Record::from_rdata(zone(&[]), TTL, RData::SOA(data))
    }

    /// The nodes that run the registry, as name servers, and their addresses.
    fn servers(&mut self) -> (Vec<Record>, Vec<Record>) {
        let (mut servers, mut addresses) = (Vec::new(), Vec::new());
        for health in self.healthy("consul", None).iter().take(NAME_SERVERS) {
            let node = &health.node.name;
            let is_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if !node.bytes().all(is_label) {
                continue;
            }
            let Some(owner) = build::node_name(node, &self.datacenter) else {
                continue;
            };
            let data = RData::NS(NS(owner.clone()));
            servers.push(Record::from_rdata(zone(&[]), TTL, data));
            if let Some(Place::Ip(ip)) = build::node_place(&health.node, RecordType::ANY) {
                addresses.push(build::at(&owner, ip));
            }
        }
        (servers, addresses)
    }
}

/// A name in our zone.
fn zone(labels: &[&str]) -> Name {
    let labels = labels
        .iter()
        .chain(&["consul"])
        .map(|label| label.as_bytes());
    Name::from_labels(labels).expect("these are short labels of letters")
}
