//! Bodies that define checks or report on them. Fields that are newer than Consul 1.8 are accepted in checks, so that
//! current client libraries work; those that change nothing here are read and dropped.

use serde_json::Value;

use super::fields::{Fields, Path};
use super::{BodyError, Result, json};
use crate::catalog::CheckDefinition;

/// Fields of newer Consuls, and of others that mean nothing here.
const UNUSED: [&str; 4] = ["Shell", "ProxyHTTP", "ProxyGRPC", "Token"];

/// A TTL report with a body.
#[derive(Debug)]
pub(in super::super) struct Update {
    pub(in super::super) status: String,
    pub(in super::super) output: String,
}

/// The body of `agent/check/register`.
pub(in super::super) fn check_registration(body: &[u8]) -> Result<CheckDefinition> {
    let path = Path::Under(String::new());
    let mut fields = Fields::new(
        json::parse(body)?,
        path,
        "value of type structs.CheckDefinition",
    )?;
    let mut check = CheckDefinition {
        id: fields.string("ID")?,
        service_id: text_of(&mut fields, &["ServiceID", "service_id"])?,
        ..CheckDefinition::default()
    };
    common(&mut fields, &mut check)?;
    fields.finish()?;
    Ok(check)
}

/// A check inside a service's registration. `at` is where errors say it is.
pub(super) fn embedded(value: Value, at: &str) -> Result<CheckDefinition> {
    let of_type = format!("struct field {at} of type structs.CheckType");
    let mut fields = Fields::new(value, Path::At(at.to_owned()), &of_type)?;
    let mut check = CheckDefinition {
        id: fields.string("CheckID")?,
        ..CheckDefinition::default()
    };
    common(&mut fields, &mut check)?;
    fields.finish()?;
    Ok(check)
}

/// The body of `agent/check/update/:id`.
pub(in super::super) fn check_update(body: &[u8]) -> Result<Update> {
    let path = Path::Under("checkUpdate".into());
    let mut fields = Fields::new(json::parse(body)?, path, "value of type agent.checkUpdate")?;
    let update = Update {
        status: fields.string("Status")?,
        output: fields.string("Output")?,
    };
    fields.finish()?;
    Ok(update)
}

fn common(fields: &mut Fields, check: &mut CheckDefinition) -> Result<()> {
    check.name = fields.string("Name")?;
    check.notes = fields.string("Notes")?;
    check.status = fields.string("Status")?;
    for name in ["Args", "ScriptArgs", "script_args"] {
        let args = fields.strings(name)?;
        if !args.is_empty() {
            check.args = args;
        }
    }
    check.http = fields.string("HTTP")?;
    check.method = fields.string("Method")?;
    check.header = fields.list_map("Header")?;
    check.body = fields.string("Body")?;
    check.tcp = fields.string("TCP")?;
    check.udp = fields.string("UDP")?;
    check.grpc = fields.string("GRPC")?;
    check.h2ping = fields.string("H2PING")?;
    check.os_service = fields.string("OSService")?;
    check.zmtp = fields.string("ZMTP")?;
    check.tcp_use_tls = fields.boolean("TCPUseTLS")?;
    check.grpc_use_tls = fields.boolean("GRPCUseTLS")?;
    // TLS unless it is said to be off, unlike the others.
    check.h2ping_plain = match fields.take("H2PingUseTLS") {
        None | Some(Value::Bool(true)) => false,
        Some(Value::Bool(false)) => true,
        Some(other) => return Err(fields.wrong(&other, "H2PingUseTLS", "bool")),
    };
    check.tls_server_name = fields.string("TLSServerName")?;
    check.disable_redirects = fields.boolean("DisableRedirects")?;
    check.docker_container = text_of(fields, &["DockerContainerID", "docker_container_id"])?;
    check.alias_node = fields.string("AliasNode")?;
    check.alias_service = fields.string("AliasService")?;
    check.tls_skip_verify = fields.boolean("TLSSkipVerify")? | fields.boolean("tls_skip_verify")?;
    check.interval = fields.duration("Interval")?;
    check.timeout = fields.duration("Timeout")?;
    check.ttl = fields.duration("TTL")?;
    check.deregister_after = fields.duration("DeregisterCriticalServiceAfter")?;
    if check.deregister_after == 0 {
        check.deregister_after = fields.duration("deregister_critical_service_after")?;
    }
    check.success_before_passing = fields.integer("SuccessBeforePassing")?;
    check.failures_before_critical = fields.integer("FailuresBeforeCritical")?;
    check.failures_before_warning = fields.integer("FailuresBeforeWarning")?;
    check.output_max = fields.integer("OutputMaxSize")?;
    fields.ignore(&UNUSED);
    Ok(())
}

/// The first of several spellings that is not empty.
fn text_of(fields: &mut Fields, names: &[&str]) -> Result<String> {
    let mut text = String::new();
    for name in names {
        let found = fields.string(name)?;
        if text.is_empty() {
            text = found;
        }
    }
    Ok(text)
}

impl From<BodyError> for String {
    fn from(error: BodyError) -> String {
        error.to_string()
    }
}
