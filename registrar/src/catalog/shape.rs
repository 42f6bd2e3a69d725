//! How values that belong to the check runner are written down: the same fields, by serde's remote derivation. The
//! runner's own types stay free of any file format; a field added there is a compile error here.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::check::{CheckKind, CheckSpec, Source, Tls};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Source")]
pub(super) enum SourceShape {
    Local,
    Remote,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Tls")]
struct TlsShape {
    server_name: String,
    skip_verify: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CheckSpec")]
struct SpecShape {
    id: String,
    #[serde(with = "KindShape")]
    kind: CheckKind,
    interval: Duration,
    timeout: Duration,
    success_before_passing: u32,
    failures_before_critical: u32,
    output_max: usize,
    // Newer than the first files: absent at their end.
    #[serde(default)]
    failures_before_warning: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CheckKind")]
enum KindShape {
    Http {
        url: String,
        method: String,
        headers: Vec<(String, String)>,
        body: String,
        #[serde(with = "TlsShape")]
        tls: Tls,
        disable_redirects: bool,
    },
    Tcp {
        address: String,
        #[serde(with = "tls")]
        tls: Option<Tls>,
    },
    Udp {
        address: String,
    },
    Grpc {
        target: String,
        #[serde(with = "tls")]
        tls: Option<Tls>,
    },
    H2Ping {
        address: String,
        #[serde(with = "tls")]
        tls: Option<Tls>,
    },
    Zmtp {
        address: String,
    },
    Script {
        args: Vec<String>,
        #[serde(with = "SourceShape")]
        source: Source,
    },
    OsService {
        name: String,
    },
}

/// For `Option<CheckSpec>`.
pub(super) mod spec {
    use super::*;

    #[derive(Serialize)]
    struct Ref<'a>(#[serde(with = "SpecShape")] &'a CheckSpec);

    #[derive(Deserialize)]
    struct Own(#[serde(with = "SpecShape")] CheckSpec);

    pub(crate) fn serialize<S: Serializer>(
        spec: &Option<Box<CheckSpec>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        spec.as_deref().map(Ref).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Box<CheckSpec>>, D::Error> {
        Ok(Option::<Own>::deserialize(deserializer)?.map(|own| Box::new(own.0)))
    }
}

/// For `Option<Tls>`.
mod tls {
    use super::*;

    #[derive(Serialize)]
    struct Ref<'a>(#[serde(with = "TlsShape")] &'a Tls);

    #[derive(Deserialize)]
    struct Own(#[serde(with = "TlsShape")] Tls);

    pub(crate) fn serialize<S: Serializer>(
        tls: &Option<Tls>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        tls.as_ref().map(Ref).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Tls>, D::Error> {
        Ok(Option::<Own>::deserialize(deserializer)?.map(|own| own.0))
    }
}
