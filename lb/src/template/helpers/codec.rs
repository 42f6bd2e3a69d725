//! Between texts and values, and between encodings.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ring::{digest, hmac};
use serde::Serialize;
use serde_json::{Value, json};

use super::Pure;
use super::arguments::{Outcome, shown};

pub(super) const HELPERS: &[Pure] = &[
    Pure("base64Decode", "(base64Decode TEXT)", |a| {
        decoded(STANDARD.decode(a.text(0)?))
    }),
    Pure("base64Encode", "(base64Encode TEXT)", |a| {
        Ok(STANDARD.encode(a.scalar(0)?).into())
    }),
    Pure("base64URLDecode", "(base64URLDecode TEXT)", |a| {
        decoded(URL_SAFE.decode(a.text(0)?))
    }),
    Pure("base64URLEncode", "(base64URLEncode TEXT)", |a| {
        Ok(URL_SAFE.encode(a.scalar(0)?).into())
    }),
    Pure("sha1Hex", "(sha1Hex TEXT)", |a| {
        Ok(hex(digest::digest(
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
            a.scalar(0)?.as_bytes(),
        )
        .as_ref()))
    }),
    Pure("sha256Hex", "(sha256Hex TEXT)", |a| {
        Ok(hex(digest::digest(
            &digest::SHA256,
            a.scalar(0)?.as_bytes(),
        )
        .as_ref()))
    }),
    Pure("md5sum", "(md5sum TEXT)", |a| {
        Ok(hex(md5::compute(a.scalar(0)?).as_ref()))
    }),
    Pure("hmacSHA256Hex", "(hmacSHA256Hex TEXT KEY)", |a| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, a.scalar(1)?.as_bytes());
        Ok(hex(hmac::sign(&key, a.scalar(0)?.as_bytes()).as_ref()))
    }),
    Pure("parseBool", "(parseBool TEXT)", |a| match a.text(0)? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true.into()),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false.into()),
        text => Err(format!("expected true or false, found {text:?}")),
    }),
    Pure("parseFloat", "(parseFloat TEXT)", |a| match a.text(0)? {
        "" => Ok(json!(0.0)),
        text => number::<f64>(text, "a number").map(|number| json!(number)),
    }),
    Pure("parseInt", "(parseInt TEXT)", |a| match a.text(0)? {
        "" => Ok(json!(0)),
        text => number::<i64>(text, "an integer").map(|number| json!(number)),
    }),
    Pure("parseUint", "(parseUint TEXT)", |a| match a.text(0)? {
        "" => Ok(json!(0)),
        text => number::<u64>(text, "an integer that is not negative").map(|number| json!(number)),
    }),
    Pure("parseJSON", "(parseJSON TEXT)", |a| match a.text(0)? {
        "" => Ok(json!({})),
        text => serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}")),
    }),
    Pure("parseYAML", "(parseYAML TEXT)", |a| match a.text(0)? {
        "" => Ok(json!({})),
        text => serde_saphyr::from_str(text).map_err(|error| {
            let reason = error.to_string();
            format!(
                "this is no YAML: {}",
                reason.lines().next().unwrap_or_default()
            )
        }),
    }),
    Pure("toJSON", "(toJSON VALUE)", |a| {
        Ok(a.any(0)?.to_string().into())
    }),
    Pure("toJSONPretty", "(toJSONPretty VALUE)", |a| {
        pretty(a.any(0)?)
    }),
    Pure("toUnescapedJSON", "(toUnescapedJSON VALUE)", |a| {
        Ok(a.any(0)?.to_string().into())
    }),
    Pure(
        "toUnescapedJSONPretty",
        "(toUnescapedJSONPretty VALUE)",
        |a| pretty(a.any(0)?),
    ),
    Pure("toYAML", "(toYAML VALUE)", |a| {
        let text = serde_saphyr::to_string(a.any(0)?)
            .map_err(|error| format!("cannot be YAML: {error}"))?;
        Ok(text.trim_end().into())
    }),
    Pure("toTOML", "(toTOML MAP)", |a| {
        let map = a.map(0)?;
        let text = toml::to_string(map).map_err(|error| format!("cannot be TOML: {error}"))?;
        Ok(text.trim_end().into())
    }),
    Pure("toString", "(toString VALUE)", |a| {
        Ok(super::format::plain(a.any(0)?).into())
    }),
];

fn decoded(bytes: Result<Vec<u8>, base64::DecodeError>) -> Outcome {
    let bytes = bytes.map_err(|error| format!("this is no base64: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "what it encodes is no text".to_owned())?;
    Ok(text.into())
}

fn hex(bytes: &[u8]) -> Value {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into()
}

fn number<T: std::str::FromStr + Into<serde_json::value::Value>>(
    text: &str,
    expected: &str,
) -> Result<T, String> {
    let found = || format!("expected {expected}, found {}", shown(&text.into()));
    text.parse().map_err(|_| found())
}

/// Two blanks for each level.
fn pretty(value: &Value) -> Outcome {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"  ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value
        .serialize(&mut serializer)
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&out).into())
}
