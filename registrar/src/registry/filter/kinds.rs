//! The fields that filters may name in each kind of row, with their types, as in Consul 1.8's structs. A field that a
//! row's JSON leaves out has the zero value of its type.

/// The type of a field or of a whole row.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Text,
    Int,
    Bool,
    /// By name; every value of the same kind.
    Map(&'static Kind),
    List(&'static Kind),
    Struct(&'static [(&'static str, Kind)]),
}

use Kind::{Bool, Int, List, Map, Struct, Text};

static TEXT: Kind = Text;
static ADDRESS: Kind = Struct(&[("Address", Text), ("Port", Int)]);
static UPSTREAM: Kind = Struct(&[
    ("DestinationType", Text),
    ("DestinationNamespace", Text),
    ("DestinationName", Text),
    ("Datacenter", Text),
    ("LocalBindAddress", Text),
    ("LocalBindPort", Int),
    ("MeshGateway", Struct(&[("Mode", Text)])),
]);
static EXPOSE_PATH: Kind = Struct(&[
    ("ListenerPort", Int),
    ("Path", Text),
    ("LocalPathPort", Int),
    ("Protocol", Text),
]);

const WEIGHTS: Kind = Struct(&[("Passing", Int), ("Warning", Int)]);
const PROXY: Kind = Struct(&[
    ("DestinationServiceName", Text),
    ("DestinationServiceID", Text),
    ("LocalServiceAddress", Text),
    ("LocalServicePort", Int),
    ("Upstreams", List(&UPSTREAM)),
    ("MeshGateway", Struct(&[("Mode", Text)])),
    (
        "Expose",
        Struct(&[("Checks", Bool), ("Paths", List(&EXPOSE_PATH))]),
    ),
]);
const CONNECT: Kind = Struct(&[("Native", Bool)]);

type Fields<const N: usize> = [(&'static str, Kind); N];

static NODE_FIELDS: Fields<6> = [
    ("ID", Text),
    ("Node", Text),
    ("Address", Text),
    ("Datacenter", Text),
    ("TaggedAddresses", Map(&TEXT)),
    ("Meta", Map(&TEXT)),
];
static SERVICE_FIELDS: Fields<12> = [
    ("Kind", Text),
    ("ID", Text),
    ("Service", Text),
    ("Tags", List(&TEXT)),
    ("Address", Text),
    ("TaggedAddresses", Map(&ADDRESS)),
    ("Meta", Map(&TEXT)),
    ("Port", Int),
    ("Weights", WEIGHTS),
    ("EnableTagOverride", Bool),
    ("Proxy", PROXY),
    ("Connect", CONNECT),
];

/// A row of `catalog/nodes`.
pub(in super::super) static NODE: Kind = Struct(&NODE_FIELDS);

/// An instance in `catalog/node` and `health/service`.
pub(in super::super) static NODE_SERVICE: Kind = Struct(&SERVICE_FIELDS);

/// A check.
pub(in super::super) static CHECK: Kind = Struct(&[
    ("Node", Text),
    ("CheckID", Text),
    ("Name", Text),
    ("Status", Text),
    ("Notes", Text),
    ("Output", Text),
    ("ServiceID", Text),
    ("ServiceName", Text),
    ("ServiceTags", List(&TEXT)),
    ("Type", Text),
]);

/// A row of `health/service`.
pub(in super::super) static HEALTH: Kind = Struct(&[
    ("Node", Struct(&NODE_FIELDS)),
    ("Service", Struct(&SERVICE_FIELDS)),
    ("Checks", List(&CHECK)),
]);

/// A row of `catalog/service`.
pub(in super::super) static CATALOG_SERVICE: Kind = Struct(&[
    ("ID", Text),
    ("Node", Text),
    ("Address", Text),
    ("Datacenter", Text),
    ("TaggedAddresses", Map(&TEXT)),
    ("NodeMeta", Map(&TEXT)),
    ("ServiceKind", Text),
    ("ServiceID", Text),
    ("ServiceName", Text),
    ("ServiceTags", List(&TEXT)),
    ("ServiceAddress", Text),
    ("ServiceTaggedAddresses", Map(&ADDRESS)),
    ("ServiceWeights", WEIGHTS),
    ("ServiceMeta", Map(&TEXT)),
    ("ServicePort", Int),
    ("ServiceEnableTagOverride", Bool),
    ("ServiceProxy", PROXY),
    ("ServiceConnect", CONNECT),
]);

/// A row of `agent/services`.
pub(in super::super) static AGENT_SERVICE: Kind = Struct(&SERVICE_FIELDS);
