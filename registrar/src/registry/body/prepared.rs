//! The body that defines a prepared query.

use super::fields::{Fields, Path};
use super::{Result, json};
use crate::catalog::Prepared;

/// The body of `POST query` and `PUT query/:id`.
pub(in super::super) fn prepared_query(body: &[u8]) -> Result<Prepared> {
    let at = |name: &str| Path::Under(name.to_owned());
    let of_type = "value of type structs.PreparedQuery";
    let mut fields = Fields::new(json::parse(body)?, at("PreparedQuery"), of_type)?;
    let mut query = Prepared {
        id: fields.string("ID")?,
        name: fields.string("Name")?,
        session: fields.string("Session")?,
        token: fields.string("Token")?,
        ..Prepared::default()
    };
    if let Some(value) = fields.take("Template") {
        let mut template = Fields::new(value, at("QueryTemplateOptions.Template"), of_type)?;
        query.template = template.string("Type")?;
        query.regexp = template.string("Regexp")?;
        query.remove_empty_tags = template.boolean("RemoveEmptyTags")?;
        template.finish()?;
    }
    if let Some(value) = fields.take("DNS") {
        let mut dns = Fields::new(value, at("QueryDNSOptions.DNS"), of_type)?;
        query.ttl = dns.string("TTL")?;
        dns.finish()?;
    }
    if let Some(value) = fields.take("Service") {
        let mut service = Fields::new(value, at("ServiceQuery.Service"), of_type)?;
        query.service = service.string("Service")?;
        query.only_passing = service.boolean("OnlyPassing")?;
        query.ignore_checks = service.strings("IgnoreCheckIDs")?;
        query.near = service.string("Near")?;
        query.tags = service.strings("Tags")?;
        query.node_meta = service.string_map("NodeMeta")?.unwrap_or_default();
        query.service_meta = service.string_map("ServiceMeta")?.unwrap_or_default();
        query.connect = service.boolean("Connect")?;
        if let Some(value) = service.take("Failover") {
            let mut failover = Fields::new(
                value,
                at("QueryDatacenterOptions.Service.Failover"),
                of_type,
            )?;
            query.nearest = failover.integer("NearestN")?;
            query.datacenters = failover.strings("Datacenters")?;
            failover.finish()?;
        }
        service.finish()?;
    }
    fields.ignore(&["CreateIndex", "ModifyIndex"]);
    fields.finish()?;
    Ok(query)
}
